"""Losses of labels in addition to that of the logits."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.keras_internals import scaled_loss
from lmn_tf.ops.sequence.masked import row_mean

_NOTED = "_lmn_tf_noted"


def note(logits: tf.Tensor, value: Any) -> None:
    """Passes a value along with logits; see `noted_in`."""
    setattr(logits, _NOTED, value)


def with_noted(logits: tf.Tensor, groups: Mapping[str, Any]) -> tf.Tensor:
    """Returns logits that pass along what the reading of histories noted, if anything.

    Args:
        logits: Tensor of shape `(batch, labels)`.
        groups: Groups of the encoder, perhaps with `"noted"`.
    """
    if "noted" in groups:
        note(logits, groups["noted"])
    return logits


def noted_in(logits: tf.Tensor) -> Any:
    """Returns what `note` passed along with logits, or `None`.

    Example:

    >>> logits = tf.ones([2, 1])
    >>> note(logits, 3)
    >>> noted_in(logits)
    3
    """
    return getattr(logits, _NOTED, None)


class LabelledLoss:
    """Mixin of models with an additional loss that uses the labels, in training only.

    It comes before `CTRModel` (or a subclass) in the bases of a model. The `read_histories` of the
    model stores the inputs of the loss, such as further logits, in `groups["noted"]`. They are
    passed along with the logits, so that they always belong to the same call and replica as the
    labels, and `labelled_loss` computes the loss. Sample weights apply, and replicas count in
    proportion to their rows, as in the loss of the logits.

    `training_means` are metrics of the loss, each a `RunningMean`, logged in training only.

    Example:

    >>> from lmn_tf.models.hosts.sim import SIM
    >>> issubclass(SIM, LabelledLoss)
    True
    """

    training_means = ()

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        """Computes the loss of each row; subclasses override it.

        Args:
            noted: Value of `groups["noted"]`, as set by `read_histories`.
            labels: Float32 tensor of shape `(batch, labels)`.
            logits: Float32 tensor of the same shape: the output of the model.

        Returns:
            Float32 tensor of shape `(batch,)`.
        """
        raise NotImplementedError("`labelled_loss` must be overridden")

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tf.Tensor:
        """As `keras.Model.compute_loss`, plus the mean of `labelled_loss` in training."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        noted = noted_in(y_pred)
        if noted is None or not training:
            return loss
        labels = tf.reshape(tf.cast(y, tf.float32), tf.shape(y_pred))
        rows = self.labelled_loss(noted, labels, y_pred)
        if sample_weight is not None:
            rows *= tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
        # As in Keras: replicas add up their averages.
        return loss + scaled_loss(self, row_mean(rows))
