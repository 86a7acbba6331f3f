"""Start of a memory of pairs from a regression of each item on all others."""

import os
from collections.abc import Sequence

import numpy as np

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.distribute.tables.rows import copy_rows, row_chunks, set_rows
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions

_OWN_IDS = 2  # ids below are padding and unknown values


def start_pairs(
    model: PairMemoryPlugin,
    train: str | os.PathLike | Sequence[str | os.PathLike],
    valid: str | os.PathLike | Sequence[str | os.PathLike] | None = None,
    limit: int | RowLimit | None = None,
) -> str:
    """Assigns the values of the regression of `EASE` to the memory of pairs of a model.

    With the similarities `B` of `EASE` and the weight `w` of its score of pairs, the value of an
    event of item `j` and the candidate `c` is `w r_j B_jc`. Without `pair_outcome`, `r_j = 1`. With
    it, `r_j` is the outcome of the event less the rate of its item: the residual of `EASE` but for
    the rate of the user, whom the id of an event does not tell. Where pairs share a slot, its value
    is their mean. Of several memories, the first one starts so, and the others at 0.

    Args:
        model: Built model with the option `pair_start="ease"`.
        train: Glob, path, or list of them. Training rows.
        valid: Likewise. Validation rows, to which `w` is fitted. Defaults to `None`: it is fitted
            to a tenth of the training rows.
        limit: Integer or `RowLimit` of the training rows. Defaults to `None`: all.

    Returns:
        Sentence for the log that describes the values.

    Raises:
        UserError: As in `BatchReader`.
    """
    name, memory = next(iter(model.pair_memories.items()))
    options = {"item": model.candidate_of(name), "outcome": model.pair_outcome, "l2": model.pair_l2}
    fitted = [EASE(model.spec, **options) for _ in model.label_names]
    columns = fitted[0].columns
    rows = Interactions.read(model.spec, columns, train, limit)
    checks = None if valid is None else Interactions.read(model.spec, columns, valid)
    for label, ease in enumerate(fitted):
        ease.fit(rows, checks, label)
    _fill(memory, lambda start, stop: _values(model, name, fitted, np.arange(start, stop)))
    weights = ", ".join(f"{ease.weights['pairs']:.3g}" for ease in fitted)
    items = int(np.sum(fitted[0].column_of >= 0))
    return f"Started the memory of pairs with the regression of {items:,} items, weight {weights}."


def _fill(memory, values):
    """Assigns values to slots; `values(start, stop)` is of shape `(rows, columns, labels)`."""
    columns = memory.num_columns
    chunks = row_chunks((memory.num_rows, columns * memory.num_values), itemsize=4)
    if memory.memory_size == memory.num_rows * columns:
        for start, stop in chunks:
            rows = values(start, stop).reshape(-1, memory.num_values)
            set_rows(memory.memory_values, start * columns, rows)
        return
    sums = np.zeros((memory.memory_size, memory.num_values), np.float32)
    counts = np.zeros(memory.memory_size, np.int32)
    for start, stop in chunks:
        pairs = np.arange(start, stop)[:, None], np.arange(columns)
        slots = memory.slots(*np.broadcast_arrays(*pairs)).numpy().ravel()
        np.add.at(sums, slots, values(start, stop).reshape(-1, memory.num_values))
        np.add.at(counts, slots, 1)
    copy_rows(sums / np.maximum(counts, 1)[:, None], memory.memory_values)


def _values(model, name, fitted, rows):
    """Returns the values of some rows of the memory, `(rows, columns, labels)`."""
    items, outcomes = model.split_rows(name, rows)
    memory = model.pair_memories[name]
    values = np.zeros((len(rows), memory.num_columns, len(fitted)), np.float32)
    for label, ease in enumerate(fitted):
        known = ease.column_of[items] >= 0
        residuals = np.ones(len(rows))
        if outcomes is not None:
            known &= outcomes >= _OWN_IDS
            anyone = np.full(len(rows), len(ease.user_keys))
            residuals = outcomes - _OWN_IDS - ease.expected(items, anyone)
        candidates = np.flatnonzero(ease.column_of >= 0)
        known = np.flatnonzero(known)
        scores = ease.similarities[:, ease.column_of[items[known]]].T  # (known, candidates)
        scores = ease.weights["pairs"] * residuals[known, None] * scores
        values[np.ix_(known, candidates, [label])] = scores[..., None]
    return values
