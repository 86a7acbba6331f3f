"""Metrics of each label, created from names given to `compile`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.metrics.label_metric import LabelMetric
from lmn_tf.metrics.named_metric import METRICS, named_metric


class Untracked:
    """Container of metrics that Keras does not track as attributes of a model.

    Args:
        metrics: Iterable of metrics. Defaults to `()`.

    Example:

    >>> Untracked([keras.metrics.Mean()]).metrics[0].name
    'mean'
    """

    def __init__(self, metrics: Iterable[Any] = ()) -> None:
        self.metrics = tuple(metrics)


def make_metrics(metrics: Any, labels: Sequence[str]) -> tuple[list, list]:
    """Creates the metrics that a model is compiled with.

    The names `"auc"`, `"gauc"`, `"qauc"`, `"logloss"` and `"normalized_entropy"` (or `"ne"`)
    become one metric per label. With one label, the metric has this name; with several, the name
    of the label comes first, as in `"like_auc"`. Everything else is passed to Keras.

    Args:
        metrics: List of names and metrics, or `None`.
        labels: Tuple of label names, in the order of the model's logits.

    Returns:
        Pair of lists: metrics for Keras, and those that need the rows' groups.

    Raises:
        ValueError: If two metrics have the same name.

    Example:

    >>> plain, grouped = make_metrics(["auc", "gauc"], ("like", "share"))
    >>> [metric.name for metric in grouped]
    ['like_gauc', 'share_gauc']
    """
    plain, grouped = [], []
    for metric in _each(metrics):
        if isinstance(metric, str) and metric in METRICS:
            made = [
                named_metric(metric, index, prefix="" if len(labels) == 1 else f"{label}_")
                for index, label in enumerate(labels)
            ]
        else:
            made = [metric]
        for item in made:
            (grouped if getattr(item, "needs_groups", False) else plain).append(item)
    _check_names(plain + grouped)
    return plain, grouped


def check_group(grouped: Sequence[LabelMetric], group: str | None) -> None:
    """Raises `ValueError` for metrics that need groups if a feature spec has no `group`.

    Args:
        grouped: List of metrics that need groups.
        group: String. The spec's `group`, or `None`.

    Example:

    >>> check_group([], None)
    """
    if grouped and group is None:
        raise ValueError(
            f"`group` must be given in the feature spec for the metric `{grouped[0].name}`. "
            "Received: group=None"
        )


def update_grouped(
    grouped: Untracked,
    weighted: Untracked,
    x: Mapping[str, tf.Tensor],
    y: tf.Tensor,
    y_pred: tf.Tensor,
    sample_weight: tf.Tensor | None,
) -> None:
    """Updates grouped metrics by the feature `"group"`.

    Args:
        grouped: Metrics without sample weights.
        weighted: Metrics that use `sample_weight`.
        x: Dictionary of features.
        y: Tensor of labels, `(batch, labels)`.
        y_pred: Tensor of logits, `(batch, labels)`.
        sample_weight: Tensor of shape `(batch,)`, or `None`.

    Raises:
        ValueError: If there are metrics but no groups.

    Example:

    >>> update_grouped(Untracked(), Untracked(), {}, None, None, None)
    """
    if not (grouped.metrics or weighted.metrics):
        return
    if "group" not in x:
        raise ValueError(
            f"`features` must hold `group` for grouped metrics. Received: keys={sorted(x)}"
        )
    for metric in grouped.metrics:
        metric.update_state(y, y_pred, groups=x["group"])
    for metric in weighted.metrics:
        metric.update_state(y, y_pred, sample_weight=sample_weight, groups=x["group"])


def _each(metrics):
    if metrics is None:
        return []
    return list(metrics) if isinstance(metrics, list | tuple) else [metrics]


def _check_names(metrics):
    seen = set()
    for metric in metrics:
        name = metric.name if isinstance(metric, keras.metrics.Metric) else metric
        if isinstance(name, str) and name in seen:
            raise ValueError(f"`metrics` must have names of their own. Received: {name!r} twice")
        seen.add(name if isinstance(name, str) else id(name))
