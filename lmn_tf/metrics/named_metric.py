"""Metrics by the names that `compile` takes, and those of users that a pipeline names."""

import functools
from typing import Any

import keras

from lmn_tf.metrics.grouped_auc import GroupedAUC
from lmn_tf.metrics.label_metric import LabelMetric
from lmn_tf.metrics.log_loss import LogLoss
from lmn_tf.metrics.normalized_entropy import NormalizedEntropy
from lmn_tf.metrics.streaming_auc import StreamingAUC
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.parts.metric import METRICS as METRICS_OF_USERS
from lmn_tf.specs.parts.metric import name_and_arguments

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


def own_metric(rule: str | dict[str, Any], label_index: int = 0) -> LabelMetric:
    """Creates a metric of a user.

    Args:
        rule: String, name or path of the metric, or mapping from it to arguments.
        label_index: Integer. Index of the scored label. Defaults to `0`.

    Raises:
        UserError: If the metric does not exist, cannot be imported, or refuses its arguments.

    Example:

    >>> own_metric({"lmn_tf.metrics:GroupedAUC": {"weight": "clicks"}}).name
    'click_gauc'
    """
    name, arguments = name_and_arguments(rule)
    metric_class = METRICS_OF_USERS.load(name, "metrics")
    try:
        return metric_class(label_index=label_index, **arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"metric `{name}` refuses its arguments: {error}") from error
