"""Base class of the metrics of one label: choice of the label, weights, and logits."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="lmn_tf")
class LabelMetric(keras.metrics.Metric):
    """Base class of metrics that score one label of a model.

    Subclasses define `update_state` and `result`, as for Keras; metrics of users as well.

    Args:
        name: String. Name of the metric.
        label_index: Integer. Index of the scored label. Defaults to `0`.
        from_logits: Boolean. Whether predictions are logits rather than probabilities. Defaults to
            `True`.
        dtype: Type of the result. Defaults to `None`.

    Raises:
        ValueError: If `label_index` is negative.

    Attributes:
        needs_groups: Boolean. Whether `update_state` takes the `groups` of the rows, as
            `GroupedAUC` does. Such metrics are computed in evaluation only.

    Example:

    >>> class Clicks(LabelMetric):
    ...     def __init__(self, label_index=0, name="clicks", **kwargs):
    ...         super().__init__(name, label_index, **kwargs)
    ...         self.count = self.add_variable((), "zeros", name="count")
    ...
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.count.assign_add(tf.reduce_sum(self.take_label(y_true, "y_true")))
    ...
    ...     def result(self):
    ...         return tf.convert_to_tensor(self.count)
    >>> metric = Clicks(label_index=1)
    >>> metric.update_state([[0.0, 1.0], [1.0, 1.0]], [[0.5, 2.0], [1.0, -1.0]])
    >>> float(metric.result())
    2.0
    """

    needs_groups = False

    def __init__(
        self, name: str, label_index: int = 0, from_logits: bool = True, dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if label_index < 0:
            raise ValueError(
                f"`label_index` must be zero or more. Received: label_index={label_index}"
            )
        self.label_index = label_index
        self.from_logits = from_logits

    def take_label(self, values: tf.Tensor, name: str) -> tf.Tensor:
        """Returns the column of this metric's label as a tensor of shape `(batch,)`."""
        values = tf.convert_to_tensor(values)
        if values.shape.rank == 1:
            return values
        if values.shape.rank != 2:
            raise ValueError(
                f"`{name}` must have shape (batch,) or (batch, num_labels). "
                f"Received: {name}.shape={values.shape}"
            )
        width = values.shape[1]
        if width is not None and self.label_index >= width:
            raise ValueError(
                f"`label_index` must be below the number of labels, {width}. "
                f"Received: label_index={self.label_index}"
            )
        return values[:, self.label_index]

    def take_weight(self, sample_weight: tf.Tensor | None, like: tf.Tensor) -> tf.Tensor:
        """Returns weights of shape `(batch,)`: ones if `sample_weight` is `None`."""
        if sample_weight is None:
            return tf.ones_like(like)
        weight = tf.cast(sample_weight, like.dtype)
        if weight.shape.rank == 2:
            weight = weight[:, 0] if weight.shape[1] == 1 else self.take_label(weight, "weight")
        return tf.broadcast_to(weight, tf.shape(like))

    def take_probability(self, y_pred: tf.Tensor) -> tf.Tensor:
        """Returns float64 probabilities of shape `(batch,)`, clipped to `[1e-7, 1 - 1e-7]`."""
        prediction = tf.cast(self.take_label(y_pred, "y_pred"), tf.float64)
        probability = tf.sigmoid(prediction) if self.from_logits else prediction
        return tf.clip_by_value(probability, 1e-7, 1.0 - 1e-7)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["label_index"] = self.label_index
        config["from_logits"] = self.from_logits
        return config
