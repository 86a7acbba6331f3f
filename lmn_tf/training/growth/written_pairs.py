"""Values of a memory of pairs in closed form."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.distribute.tables.rows import copy_rows, row_chunks, set_rows
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions

_OWN_IDS = 2  # ids below are padding and unknown values
_C = 1e6  # nearly no regularization: of two numbers and an offset


def write_pairs(
    model: PairMemoryPlugin,
    train: str | os.PathLike | Sequence[str | os.PathLike],
    valid: tf.data.Dataset,
    limit: int | RowLimit | None = None,
) -> str:
    """Writes the regression of `EASE` into the memory of pairs of a trained model.

    With the similarities `B` of `EASE`, the value of an event of item `j` and the candidate `c` is
    `w r_j B_jc`. Without `pair_outcome`, `r_j = 1`. With it, `r_j` is the outcome of the event less
    the rate of its item: the residual of `EASE` but for the rate of the user, whom the id of an
    event does not tell. Where pairs share a slot, its value is their mean.

    The weight `w`, and scale and offset of the host's logits, are those of the logistic regression
    of the labels of `valid` on the host's logits and the sums of pairs, one for each label. A label
    that is always the same leaves the model as its host, and a weight below 0 counts as 0.

    Args:
        model: Built model with the option `pair_values="ease"`, whose host is trained.
        train: Glob, path, or list of them. Training rows, to which `EASE` is fitted.
        valid: Dataset of `make_dataset`, of rows that are not in `train`, in the same order at each
            iteration.
        limit: Integer or `RowLimit` of the training rows. Defaults to `None`: all.

    Returns:
        Sentence for the log that describes the values.

    Raises:
        UserError: As in `BatchReader`.
    """
    name, memory = next(iter(model.pair_memories.items()))
    options = {"item": model.candidate_of(name), "outcome": model.pair_outcome, "l2": model.pair_l2}
    fitted = [EASE(model.spec, **options) for _ in model.label_names]
    rows = Interactions.read(model.spec, fitted[0].columns, train, limit)
    rows = rows.take(np.flatnonzero(rows.row_weights > 0))
    for label, ease in enumerate(fitted):
        ease.fit_scores(rows, label)

    def fill(weights):
        _fill(memory, lambda *run: _values(model, name, fitted, np.arange(*run)) * weights)

    ones = np.ones(len(fitted), np.float32)
    model.pair_calibration.assign([ones, 0 * ones])
    fill(0 * ones)
    host = model.predict(valid, verbose=0)
    fill(ones)
    pairs = model.predict(valid, verbose=0) - host
    scales, weights, offsets = np.transpose([*_fit(host, pairs, *_labels(valid))]).astype(
        np.float32
    )
    fill(weights)
    model.pair_calibration.assign([scales, offsets])
    items = int(np.sum(fitted[0].column_of >= 0))
    texts = ", ".join(f"{weight:.3g}" for weight in weights)
    return f"Wrote the regression of {items:,} items into the memory of pairs, weight {texts}."


def _labels(valid):
    """Returns the labels of a dataset, `(rows, labels)`, and its weights, `(rows,)`."""
    batches = [(labels, *more) for _, labels, *more in valid.as_numpy_iterator()]
    labels = np.concatenate([batch[0] for batch in batches])
    labels = labels.reshape(len(labels), -1)
    if len(batches[0]) < 2:
        return labels, np.ones(len(labels))
    return labels, np.concatenate([batch[1] for batch in batches]).reshape(-1)


def _fit(host, pairs, labels, row_weights):
    """Yields scale, weight and offset of each label."""
    for label in range(labels.shape[1]):
        seen = labels[row_weights > 0, label]
        columns = np.stack([host[:, label], pairs[:, label]], axis=1)
        if len(np.unique(seen)) < 2:
            yield 1.0, 0.0, 0.0
            continue
        regression = LogisticRegression(C=_C, solver="newton-cholesky", max_iter=1000)
        regression.fit(columns, labels[:, label], row_weights)
        scale, weight = regression.coef_[0]
        if weight < 0:
            columns[:, 1] = 0.0
            regression.fit(columns, labels[:, label], row_weights)
            scale, weight = regression.coef_[0, 0], 0.0
        yield scale, weight, regression.intercept_[0]


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
        scores = residuals[known, None] * scores
        values[np.ix_(known, candidates, [label])] = scores[..., None]
    return values
