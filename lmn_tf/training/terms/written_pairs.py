"""Values of a memory of pairs in closed form."""

import os
from collections.abc import Sequence

import numpy as np

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.distribute.tables.rows import copy_rows, row_chunks, set_rows
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.lookup import FIRST_ID


class WrittenPairs:
    """The regression of `EASE` as values of the memory of pairs of a model.

    With the similarities `B` of `EASE`, the value of an event of item `j` and the candidate `c` is
    `r_j B_jc`. Without `outcome`, `r_j = 1`. With it, `r_j` is the outcome of the event less
    the rate of its item: the residual of `EASE` but for the rate of the user, whom the id of an
    event does not tell. Where pairs that the regression knows share a slot, its value is their
    mean.

    Args:
        model: Built model with the option `pair_values="ease"`.
        train: Glob, path, or list of them. Training rows, to which `EASE` is fitted.
        limit: Integer or `RowLimit` of the training rows. Defaults to `None`: all.

    Raises:
        UserError: As in `BatchReader`.
    """

    def __init__(
        self,
        model: PairMemoryPlugin,
        train: str | os.PathLike | Sequence[str | os.PathLike],
        limit: int | RowLimit | None = None,
    ) -> None:
        self._model = model
        self._name, self._memory = next(iter(model.pair_memories.items()))
        item, outcome = model.candidate_of(self._name), model.pair_outcome
        options = {"item": item, "outcome": outcome, "l2": model.pair_l2}
        self._fitted = [EASE(model.spec, **options) for _ in model.label_names]
        rows = Interactions.read(model.spec, self._fitted[0].columns, train, limit)
        rows = rows.weighted()
        for label, ease in enumerate(self._fitted):
            ease.fit_scores(rows, label)

    @property
    def sentence(self) -> str:
        """Sentence for the log."""
        if not any(ease.num_similarities for ease in self._fitted):
            return (
                "The memory of pairs stays empty: no two items were found in the training data, or "
                "nothing in the feature spec identifies users."
            )
        column_of = self._fitted[0].column_of
        items, others = np.sum(column_of >= 0), len(column_of) - FIRST_ID
        of = f" of {others:,}" if items == self._fitted[0].options.max_items < others else ""
        return f"Wrote the regression of {items:,}{of} items into the memory of pairs."

    def write(self) -> None:
        """Fills the memory."""
        memory = self._memory
        if memory.is_hashed:
            copy_rows(self._means_of_slots(), memory.memory_values)
            return
        columns = np.arange(memory.num_columns)
        for start, stop in self._chunks(memory.num_rows, len(columns)):
            values = self.values(np.arange(start, stop), columns)
            set_rows(memory.memory_values, start * len(columns), _by_pair(values))

    def _means_of_slots(self):
        """Returns the values of hashed pairs, from those of known items alone.

        All pairs of a million items would take days to hash.
        """
        memory = self._memory
        sums = np.zeros((memory.memory_size, memory.num_values), np.float32)
        counts = np.zeros(memory.memory_size, np.int32)
        parts = self._model.split_rows(self._name, np.arange(memory.num_rows))
        known_rows = np.flatnonzero(self._known(*parts).any(axis=0))
        columns = np.flatnonzero(np.any([ease.column_of >= 0 for ease in self._fitted], axis=0))
        for start, stop in self._chunks(len(known_rows), len(columns)):
            rows = known_rows[start:stop]
            slots = memory.slots(*np.broadcast_arrays(rows[:, None], columns)).numpy().ravel()
            np.add.at(sums, slots, _by_pair(self.values(rows, columns)))
            np.add.at(counts, slots, 1)
        return sums / np.maximum(counts, 1)[:, None]

    def _chunks(self, rows, columns):
        return row_chunks((rows, columns * self._memory.num_values), itemsize=4)

    def _known(self, items, outcomes):
        """Returns whether each label's regression knows each row, of shape `(labels, rows)`."""
        known = np.stack([ease.column_of[items] >= 0 for ease in self._fitted])
        return known if outcomes is None else known & (outcomes >= FIRST_ID)

    def values(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Returns the values of pairs of the memory.

        Args:
            rows: Integer array of shape `(rows,)`. Ids of events.
            columns: Integer array of shape `(columns,)`. Ids of candidates.

        Returns:
            float32 array of shape `(rows, columns, labels)`.
        """
        items, outcomes = self._model.split_rows(self._name, rows)
        values = np.zeros((len(rows), len(columns), len(self._fitted)), np.float32)
        known_rows = self._known(items, outcomes)
        for label, (ease, known) in enumerate(zip(self._fitted, known_rows, strict=True)):
            if not ease.num_similarities:
                continue
            residuals = np.ones(len(rows))
            if outcomes is not None:
                anyone = np.full(len(rows), len(ease.user_keys))
                residuals = outcomes - FIRST_ID - ease.expected(items, anyone)
            known = np.flatnonzero(known)
            candidates = np.flatnonzero(ease.column_of[columns] >= 0)
            of = np.ix_(ease.column_of[columns[candidates]], ease.column_of[items[known]])
            scores = residuals[known, None] * ease.similarities[of].T
            values[np.ix_(known, candidates, [label])] = scores[..., None]
        return values


def _by_pair(values):
    return values.reshape(-1, values.shape[-1])
