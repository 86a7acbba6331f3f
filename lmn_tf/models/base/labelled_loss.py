"""Losses that need the labels, beside that of the logits."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.keras_internals import scaled_loss
from lmn_tf.ops.sequence.masked import row_mean

_NOTED = "_lmn_tf_noted"


class LabelledLoss:
    """Lets a part of a model learn from the labels by a loss of its own, in training only.

    Stands before `CTRModel` or one of its subclasses among a model's bases. The model's
    `read_histories` leaves in `groups["noted"]` what that loss needs, such as further logits. It
    travels with the logits to where the labels are, so that it can be of no other call or replica,
    and `labelled_loss` makes a loss of it. Rows count by their sample weights, and replicas in
    proportion, as in the loss of the logits.

    `training_means` are metrics of that loss: Keras logs them in training, not in evaluation.

    Example:

    >>> from lmn_tf.models.hosts.sim import SIM
    >>> issubclass(SIM, LabelledLoss)
    True
    """

    training_means = ()

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        """The loss of each row; for subclasses to override.

        Args:
            noted: What `read_histories` left in `groups["noted"]`.
            labels: Float32 tensor of shape `(batch, labels)`.
            logits: Float32 tensor of the same shape: what the model returned.

        Returns:
            Float32 tensor of shape `(batch,)`.
        """
        raise NotImplementedError("`labelled_loss` must be overridden")

    def to_logits(self, vector: tf.Tensor, groups: dict[str, Any], **arguments: Any) -> tf.Tensor:
        logits = super().to_logits(vector, groups, **arguments)
        if "noted" in groups:
            setattr(logits, _NOTED, groups["noted"])
        return logits

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """As `keras.Model.compute_loss`, and in training the mean of `labelled_loss`."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        noted = getattr(y_pred, _NOTED, None)
        if noted is None or not training:
            return loss
        labels = tf.reshape(tf.cast(y, tf.float32), tf.shape(y_pred))
        rows = self.labelled_loss(noted, labels, y_pred)
        if sample_weight is not None:
            rows *= tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
        # Keras' own scaling: replicas add up what each has averaged.
        return loss + scaled_loss(self, row_mean(rows))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        own = {id(metric) for metric in self.training_means}
        return [metric for metric in metrics if id(metric) not in own]
