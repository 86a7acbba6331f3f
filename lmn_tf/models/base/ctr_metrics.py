"""Metrics of each label, made from the names that `compile` takes."""

import keras

from lmn_tf.metrics.grouped_auc import GroupedAUC
from lmn_tf.metrics.named_metric import METRICS, named_metric


class Untracked:
    """Metrics that Keras shall not find among a model's attributes.

    Args:
        metrics: Iterable of metrics. Defaults to `()`.

    Example:

    >>> Untracked([keras.metrics.Mean()]).metrics[0].name
    'mean'
    """

    def __init__(self, metrics=()):
        self.metrics = tuple(metrics)


def make_metrics(metrics, labels):
    """Makes the metrics that a model is compiled with.

    The names `"auc"`, `"gauc"`, `"qauc"`, `"logloss"` and `"normalized_entropy"` (or `"ne"`)
    become one metric a label. With one label it is called as written; with several the label's
    name comes first, as in `"like_auc"`. Anything else is passed on to Keras.

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
        for one in made:
            (grouped if isinstance(one, GroupedAUC) else plain).append(one)
    _check_names(plain + grouped)
    return plain, grouped


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
