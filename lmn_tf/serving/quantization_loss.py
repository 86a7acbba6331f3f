"""Loss of AUC of an export with quantized tables."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import roc_auc_score

from lmn_tf.serving.parity import ExportError
from lmn_tf.specs.errors import UserError


def check_loss(
    model: keras.Model,
    served: Callable[[dict[str, tf.Tensor]], np.ndarray],
    dataset: Iterable[tuple],
    max_auc_loss: float,
) -> dict[str, Any]:
    """Measures by how much the scores and the AUC of an export differ from those of the model.

    Args:
        model: The live model.
        served: Function from a batch of features, histories as windows, to probabilities, an array
            of shape `(batch, labels)`.
        dataset: Batches of features, labels and possibly weights.
        max_auc_loss: Float. Largest accepted loss of the AUC of any label.

    Returns:
        Dictionary of `rows`, `largest_difference` and `mean_difference` of probabilities, and
        `auc`: for each label `model` and `exported`, and `loss`, the first less the second.

    Raises:
        UserError: If rows of a label are all of one class, which have no AUC.
        ExportError: If the loss of a label is too large.
    """
    keys = model.encoder.signature(padded=False)
    parts = []
    for features, labels, *weights in dataset:
        features = {key: features[key] for key in keys}
        live = tf.sigmoid(tf.cast(model(features, training=False), tf.float32))
        weights = weights[0] if weights else tf.ones(len(labels))
        parts.append((live.numpy(), served(features), labels.numpy(), weights.numpy()))
    live, found, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    figures = {}
    for index, label in enumerate(model.spec.labels):
        is_positive = labels[:, index] > 0.5
        if len(set(is_positive.tolist())) < 2:
            raise UserError(
                f"`rows` must hold both classes of `{label.name}` for the AUC that quantized "
                f"tables lose. Received: {len(labels):,} rows of one class"
            )
        before, after = (
            float(roc_auc_score(is_positive, scores[:, index], sample_weight=weights))
            for scores in (live, found)
        )
        figures[label.name] = {"model": before, "exported": after, "loss": before - after}
        if before - after > max_auc_loss:
            raise ExportError(
                f"quantized tables must lose at most {max_auc_loss:g} of the AUC of "
                f"`{label.name}`. Received: {after:.5f} on {len(labels):,} rows, where the model "
                f"has {before:.5f}. Take more bits, or give a larger `max_auc_loss`."
            )
    difference = np.abs(found - live)
    return {
        "rows": len(labels),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "auc": figures,
    }
