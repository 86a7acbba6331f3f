"""Terms of logits that are written after training, and their weights."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.training.growth.written_pairs import WrittenPairs
from lmn_tf.training.growth.written_rates import write_rates

_C = 1e6  # nearly no regularization: of a few numbers and an offset


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
    of `valid` on all terms, one for each label. A label that is always the same leaves its logits
    as they were trained. A weight of pairs below 0 counts as 0.

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
    pairs = 0.0
    if model.writes_pairs:
        written = WrittenPairs(model, train, limit)
        written.write(np.ones(len(model.label_names), np.float32))
        sentences.append(written.sentence)
        names.append("pairs")
        pairs = _logits(model, valid, 0.0)
    terms = [_logits(model, valid, one) - pairs for one in np.eye(len(model.term_names))]
    terms += [pairs] if model.writes_pairs else []
    fits = list(_fits(np.stack(terms, axis=1), *_labels(valid), model.writes_pairs))
    weights = np.stack([one for one, _ in fits], axis=1).astype(np.float32)  # (terms, labels)
    _calibrate(model, weights[: len(model.term_names)], [offset for _, offset in fits])
    if model.writes_pairs:
        written.write(weights[-1])
    of_terms = zip(names, weights, strict=True)
    texts = [f"{name} {' '.join(f'{one:.3g}' for one in row)}" for name, row in of_terms]
    return " ".join([*sentences, f"Weights of the logits: {', '.join(texts)}."])


def _logits(model, valid, weights):
    """Returns logits with given weights of the terms, `(rows, labels)`."""
    shape = model.calibration.term_weights.shape
    _calibrate(model, np.broadcast_to(np.reshape(weights, (-1, 1)), shape), np.zeros(shape[1]))
    return model.predict(valid, verbose=0)


def _calibrate(model, weights, offsets):
    model.calibration.term_weights.assign(np.asarray(weights, np.float32))
    model.calibration.offset.assign(np.asarray(offsets, np.float32))


def _labels(valid):
    """Returns the labels of a dataset, `(rows, labels)`, and its weights, `(rows,)`."""
    batches = [(labels, *more) for _, labels, *more in valid.as_numpy_iterator()]
    labels = np.concatenate([batch[0] for batch in batches])
    labels = labels.reshape(len(labels), -1)
    if len(batches[0]) < 2:
        return labels, np.ones(len(labels))
    return labels, np.concatenate([batch[1] for batch in batches]).reshape(-1)


def _fits(terms, labels, row_weights, has_pairs) -> Iterator[tuple[np.ndarray, float]]:
    """Yields weights of the terms and offset of each label; of pairs, the last term, at least 0."""
    for label in range(labels.shape[1]):
        columns, seen = terms[:, :, label].copy(), labels[row_weights > 0, label]
        if len(np.unique(seen)) < 2:
            yield np.eye(1, columns.shape[1])[0], 0.0
            continue
        regression = LogisticRegression(C=_C, solver="newton-cholesky", max_iter=1000)
        regression.fit(columns, labels[:, label], row_weights)
        if has_pairs and regression.coef_[0, -1] < 0:
            columns[:, -1] = 0.0
            regression.fit(columns, labels[:, label], row_weights)
        yield regression.coef_[0], float(regression.intercept_[0])
