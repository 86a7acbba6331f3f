"""Logarithmic loss relative to the entropy of the base rate."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.metrics.log_loss import LogLoss


@keras.saving.register_keras_serializable(package="lmn_tf")
class NormalizedEntropy(LogLoss):
    """Mean logarithmic loss divided by the entropy of the mean label.

    `LogLoss / -(r * log(r) + (1 - r) * log(1 - r))` with `r` the weighted mean of the labels. The
    best constant prediction gives 1; lower is better. NaN with only one class.

    Args:
        label_index: Integer. Index of the scored label. Defaults to `0`.
        from_logits: Boolean. Whether predictions are logits rather than probabilities. Defaults to
            `True`.
        name: String. Defaults to `"ne"`.
        dtype: Type of the result. Defaults to `None`.

    Call arguments:
        y_true: 0 to 1, of shape `(batch, num_labels)` or `(batch,)`.
        y_pred: Shaped like `y_true`.
        sample_weight: Weights of shape `(batch,)`, or `None`.

    Returns:
        Scalar.

    Example:

    >>> metric = NormalizedEntropy()
    >>> metric.update_state([1.0, 0.0], [0.0, 0.0])
    >>> round(float(metric.result()), 6)
    1.0

    Reference:
        He et al. 2014, "Practical lessons from predicting clicks on ads at Facebook", equation 1.
    """

    def __init__(
        self,
        label_index: int = 0,
        from_logits: bool = True,
        name: str = "ne",
        dtype: str | None = None,
    ) -> None:
        super().__init__(label_index=label_index, from_logits=from_logits, name=name, dtype=dtype)
        self.positives = self.add_variable((), "zeros", dtype="float64", name="positives")

    def add_rows(self, labels: tf.Tensor, probability: tf.Tensor, weights: tf.Tensor) -> None:
        super().add_rows(labels, probability, weights)
        self.positives.assign_add(tf.reduce_sum(weights * labels))

    def result(self) -> tf.Tensor:
        rate = self.mean(self.positives)
        valid = tf.logical_and(rate > 0, rate < 1)
        rate = tf.where(valid, rate, 0.5)
        entropy = -rate * tf.math.log(rate) - (1.0 - rate) * tf.math.log1p(-rate)
        result = tf.where(valid, self.mean(self.total) / entropy, tf.constant(np.nan, tf.float64))
        return tf.cast(result, self.dtype)
