"""Terms of logits that are written after training, and their weights."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.baselines.fit_term_weights import ROWS_A_WEIGHT, fit_term_weights
from lmn_tf.training.terms.written_pairs import WrittenPairs
from lmn_tf.training.terms.written_rates import write_rates


def write_terms(
    model: CTRModel,
    train: str | os.PathLike | Sequence[str | os.PathLike],
    valid: tf.data.Dataset,
    limit: int | RowLimit | None = None,
) -> str:
    """Writes the rates and the memory of pairs of a trained model, and fits their weights.

    Rates (option `rates`) and values of pairs (`pair_values="ease"`) are computed from the training
    rows; see `write_rates` and `WrittenPairs`. Their weights, that of `softmax_score`, and scale
    and offset of the logits that were trained, are those of the logistic regression of the labels
    of `valid` on all terms, one for each label; where its rows are few, with a prior: see
    `fit_term_weights`. A label that is always the same leaves its logits as they were trained.

    With the option `counts`, weights are `w + v log(1 + rows)` with the training rows of the item:
    terms and their products with that number are fitted together.

    `lmn-tf train` calls it when the training has ended. After a plain `fit`, call it yourself.

    Args:
        model: Trained model with such terms (`model.writes_terms`).
        train: Glob, path, or list of them. Training rows.
        valid: Dataset of `make_dataset`, of rows that are not in `train`, in the same order at each
            iteration.
        limit: Integer or `RowLimit` of the training rows. Defaults to `None`: all.

    Returns:
        Sentences for the log that describe the terms.

    Raises:
        UserError: As in `BatchReader`.
    """
    names, sentences = list(model.term_names), []
    if model.rate_terms is not None:
        sentences.append(write_rates(model.rate_terms, train, limit))
    if model.writes_pairs:
        written = WrittenPairs(model, train, limit)
        written.write()
        sentences.append(written.sentence)
    terms = model.predict_terms(valid).astype(np.float64)  # (rows, terms, labels)
    sloped = _sloped(model)
    rows = terms[:, names.index(model.rows_name)] if sloped.any() else None
    labels, row_weights = _labels(valid)
    fits = list(_fits(terms, rows, sloped, labels, row_weights))
    # (terms, labels), (terms, labels), (labels,)
    weights, slopes, offsets = (np.stack(one, axis=-1) for one in zip(*fits, strict=True))
    _calibrate(model, weights, offsets, slopes)
    sentences.append(f"Weights of the logits: {_by_name(names, weights)}.")
    if sloped.any():
        by_name = _by_name(np.array(names)[sloped], slopes[sloped])
        sentences.append(f"Change of weights with {model.rows_name}: {by_name}.")
    return " ".join([*sentences, *_warning(labels[row_weights > 0], len(names) + sloped.sum())])


def _warning(labels, count) -> list[str]:
    """Returns a sentence if the validation rows are too few for so many weights."""
    positives = labels.sum(axis=0)
    rarer = np.minimum(positives, len(labels) - positives)
    rarest = int(min(rarer[rarer > 0], default=0))  # a label that is always the same has no weights
    if not 0 < rarest < ROWS_A_WEIGHT * count:
        return []
    return [
        f"Warning: {count} weights from {rarest:,} validation rows of the rarer label are drawn "
        f"toward 0: take at least {ROWS_A_WEIGHT * count:,}, or turn terms off."
    ]


def _sloped(model):
    """Returns which terms have weights that change with the rows of the item, `(terms,)`."""
    if model.rows_name is None:
        return np.zeros(len(model.term_names), bool)
    return np.array([name not in model.rate_terms.count_names for name in model.term_names])


def _by_name(names, numbers):
    texts = (" ".join(f"{one:.3g}" for one in row) for row in numbers)
    return ", ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))


def _calibrate(model, weights, offsets, slopes):
    calibration = model.calibration
    calibration.term_weights.assign(weights.astype(np.float32))
    calibration.offset.assign(offsets.astype(np.float32))
    if calibration.slopes:
        calibration.term_slopes.assign(slopes.astype(np.float32))


def _labels(valid):
    """Returns the labels of a dataset, `(rows, labels)`, and its weights, `(rows,)`."""
    batches = [(labels, *more) for _, labels, *more in valid.as_numpy_iterator()]
    labels = np.concatenate([batch[0] for batch in batches])
    labels = labels.reshape(len(labels), -1)
    if len(batches[0]) < 2:
        return labels, np.ones(len(labels))
    return labels, np.concatenate([batch[1] for batch in batches]).reshape(-1)


def _fits(
    terms, rows, sloped, labels, row_weights
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yields weights and slopes of the terms and the offset of each label."""
    kept = np.flatnonzero(row_weights > 0)
    terms, labels, row_weights = terms[kept], labels[kept], row_weights[kept]
    for label in range(labels.shape[1]):
        columns = terms[:, :, label]
        if len(np.unique(labels[:, label])) < 2:
            yield np.eye(1, columns.shape[1])[0], np.zeros(columns.shape[1]), 0.0
            continue
        x = np.zeros(len(columns)) if rows is None else rows[kept, label]
        mean = np.average(x, weights=row_weights)
        weights, slopes, offset = _fit(columns, x - mean, sloped, labels[:, label], row_weights)
        yield weights - slopes * mean, slopes, offset


def _fit(columns, x, sloped, labels, row_weights):
    """Returns weights at `x = 0`, slopes and offset; the mean of `x` is 0."""
    products = columns[:, sloped] * x[:, None]
    found, offset = fit_term_weights(np.hstack([columns, products]), labels, row_weights)
    slopes = np.zeros(len(sloped))
    slopes[sloped] = found[len(sloped) :]
    return found[: len(sloped)], slopes, offset
