"""Keeps metrics out of Keras' sight."""


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
