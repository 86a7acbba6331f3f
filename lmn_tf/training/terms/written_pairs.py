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
    event does not tell. Where pairs share a slot, its value is their mean.

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
        items = int(np.sum(self._fitted[0].column_of >= 0))
        return f"Wrote the regression of {items:,} items into the memory of pairs."

    def write(self) -> None:
        """Fills the memory."""
        memory = self._memory
        columns = memory.num_columns
        chunks = row_chunks((memory.num_rows, columns * memory.num_values), itemsize=4)
        if not memory.is_hashed:
            for start, stop in chunks:
                values = self.values(np.arange(start, stop)).reshape(-1, memory.num_values)
                set_rows(memory.memory_values, start * columns, values)
            return
        sums = np.zeros((memory.memory_size, memory.num_values), np.float32)
        counts = np.zeros(memory.memory_size, np.int32)
        for start, stop in chunks:
            values = self.values(np.arange(start, stop))
            pairs = np.arange(start, stop)[:, None], np.arange(columns)
            slots = memory.slots(*np.broadcast_arrays(*pairs)).numpy().ravel()
            np.add.at(sums, slots, values.reshape(-1, memory.num_values))
            np.add.at(counts, slots, 1)
        copy_rows(sums / np.maximum(counts, 1)[:, None], memory.memory_values)

    def values(self, rows: np.ndarray) -> np.ndarray:
        """Returns the values of some rows of the memory.

        Args:
            rows: Integer array of shape `(rows,)`.

        Returns:
            float32 array of shape `(rows, columns, labels)`.
        """
        items, outcomes = self._model.split_rows(self._name, rows)
        values = np.zeros((len(rows), self._memory.num_columns, len(self._fitted)), np.float32)
        for label, ease in enumerate(self._fitted):
            if not ease.num_similarities:
                continue
            known = ease.column_of[items] >= 0
            residuals = np.ones(len(rows))
            if outcomes is not None:
                known &= outcomes >= FIRST_ID
                anyone = np.full(len(rows), len(ease.user_keys))
                residuals = outcomes - FIRST_ID - ease.expected(items, anyone)
            candidates = np.flatnonzero(ease.column_of >= 0)
            known = np.flatnonzero(known)
            scores = ease.similarities[:, ease.column_of[items[known]]].T  # (known, candidates)
            scores = residuals[known, None] * scores
            values[np.ix_(known, candidates, [label])] = scores[..., None]
        return values
