"""Metrics by the names that `compile` takes."""

import functools

import keras

from lmn_tf.metrics.grouped_auc import GroupedAUC
from lmn_tf.metrics.log_loss import LogLoss
from lmn_tf.metrics.normalized_entropy import NormalizedEntropy
from lmn_tf.metrics.streaming_auc import StreamingAUC

METRICS = {
    "auc": StreamingAUC,
    "gauc": functools.partial(GroupedAUC, weight="impressions"),
    "qauc": functools.partial(GroupedAUC, weight="uniform"),
    "logloss": LogLoss,
    "normalized_entropy": NormalizedEntropy,
    "ne": NormalizedEntropy,
}


def named_metric(name: str, label_index: int = 0, prefix: str = "") -> keras.metrics.Metric:
    """Creates the metric `name`, called `{prefix}{name}`.

    Args:
        name: String. A key of `METRICS`: a figure of `QUALITY`, or `"ne"`.
        label_index: Integer. Index of the scored label. Defaults to `0`.
        prefix: String before the name. Defaults to `""`.

    Example:

    >>> named_metric("gauc", label_index=1, prefix="like_").name
    'like_gauc'
    """
    return METRICS[name](label_index=label_index, name=prefix + name)
