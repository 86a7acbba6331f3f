"""Mean logarithmic loss."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.metrics.label_metric import LabelMetric


@keras.saving.register_keras_serializable(package="lmn_tf")
class LogLoss(LabelMetric):
    """Mean logarithmic loss: `-mean(y * log(p) + (1 - y) * log(1 - p))`.

    Computed and summed in float64, with `p` clipped to `[1e-7, 1 - 1e-7]`. NaN before the first
    row.

    Args:
        label_index: Integer. Index of the scored label. Defaults to `0`.
        from_logits: Boolean. Whether predictions are logits rather than probabilities. Defaults to
            `True`.
        name: String. Defaults to `"logloss"`.
        dtype: Type of the result. Defaults to `None`.

    Call arguments:
        y_true: 0 to 1, of shape `(batch, num_labels)` or `(batch,)`.
        y_pred: Shaped like `y_true`.
        sample_weight: Weights of shape `(batch,)`, or `None`.

    Returns:
        Scalar.

    Example:

    >>> metric = LogLoss()
    >>> metric.update_state([1.0, 0.0], [0.0, 0.0])
    >>> round(float(metric.result()), 6)
    0.693147
    """

    def __init__(
        self,
        label_index: int = 0,
        from_logits: bool = True,
        name: str = "logloss",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name, label_index=label_index, from_logits=from_logits, dtype=dtype)
        self.total = self.add_variable((), "zeros", dtype="float64", name="total")
        self.weight = self.add_variable((), "zeros", dtype="float64", name="weight")

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        labels = tf.cast(self.take_label(y_true, "y_true"), tf.float64)
        weights = self.take_weight(sample_weight, labels)
        self.add_rows(labels, self.take_probability(y_pred), weights)

    def add_rows(self, labels: tf.Tensor, probability: tf.Tensor, weights: tf.Tensor) -> None:
        """Adds rows to the sums; all arguments are float64 of shape `(batch,)`."""
        losses = -labels * tf.math.log(probability) - (1.0 - labels) * tf.math.log1p(-probability)
        self.total.assign_add(tf.reduce_sum(weights * losses))
        self.weight.assign_add(tf.reduce_sum(weights))

    def result(self) -> tf.Tensor:
        return tf.cast(self.mean(self.total), self.dtype)

    def mean(self, total: keras.Variable) -> tf.Tensor:
        """Returns a sum over rows divided by their total weight, in float64."""
        weight = tf.convert_to_tensor(self.weight)
        mean = tf.convert_to_tensor(total) / tf.where(weight > 0, weight, 1.0)
        return tf.where(weight > 0, mean, tf.constant(np.nan, tf.float64))
