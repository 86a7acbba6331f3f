"""Batch normalization with statistics of the valid positions only."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import moments_over_replicas
from lmn_tf.layers.base import check_positive_number, check_rate
from lmn_tf.ops.sequence.masked import masked_moments


@keras.saving.register_keras_serializable(package="lmn_tf")
class MaskedBatchNormalization(keras.layers.Layer):
    """Normalizes each channel with statistics of the valid positions only.

    Computes `gamma * (x - mean) / sqrt(variance + epsilon) + beta` for each
    channel of the last axis, with the mean and variance of the batch in
    training and their moving averages otherwise. Positions whose mask is false
    do not enter the statistics; they are normalized like the others. A batch
    without a single valid position leaves the moving averages as they are.
    Statistics are computed in float32 whatever the compute dtype, over the
    batches of all replicas of a distribution strategy.

    Args:
        momentum: Float. Share of the moving averages kept at each step.
            Defaults to `0.9` (the 0.99 of Keras needs hundreds of steps to
            forget where the averages start).
        epsilon: Float. Added to the variance. Defaults to `0.001`.
        center: Boolean. Whether to learn `beta`. Defaults to `True`.
        scale: Boolean. Whether to learn `gamma`. Defaults to `True`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(..., d)`.
        mask: Optional boolean tensor of shape `(...)`, true where valid.
        training: Boolean. Whether to use the statistics of the batch.

    Returns:
        Float tensor shaped like `inputs`.

    Raises:
        ValueError: If `momentum` is not in [0, 1) or `epsilon` is not positive.

    Example:

    >>> layer = MaskedBatchNormalization(epsilon=1e-9)
    >>> x, mask = np.array([[1.0], [3.0], [99.0]]), np.array([True, True, False])
    >>> layer(x, mask=mask, training=True)[:2].numpy().round(3).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self,
        momentum: float = 0.9,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_rate("momentum", momentum)
        check_positive_number("epsilon", epsilon)
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.supports_masking = True

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        width = (inputs_shape[-1],)
        # Not autocast: float16 statistics overflow and lose small steps.
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                shape=width, initializer="ones", name="gamma", autocast=False
            )
        if self.center:
            self.beta = self.add_weight(
                shape=width, initializer="zeros", name="beta", autocast=False
            )
        self.moving_mean = self._add_average(width, "zeros", "moving_mean")
        self.moving_variance = self._add_average(width, "ones", "moving_variance")

    def _add_average(self, width, initializer, name):
        return self.add_weight(
            shape=width,
            initializer=initializer,
            name=name,
            trainable=False,
            autocast=False,
            aggregation="mean",
        )

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        x = tf.cast(inputs, self.variable_dtype)
        mean = tf.convert_to_tensor(self.moving_mean)
        variance = tf.convert_to_tensor(self.moving_variance)
        if training and self.trainable:
            count, mean, variance = moments_over_replicas(*masked_moments(x, mask))
            mean, variance = tf.cast(mean, x.dtype), tf.cast(variance, x.dtype)
            self.update_averages(count, mean, variance)
        gain = tf.math.rsqrt(variance + self.epsilon)
        if self.gamma is not None:
            gain *= self.gamma
        x = (x - mean) * gain
        if self.beta is not None:
            x += self.beta
        return tf.cast(x, self.compute_dtype)

    def update_averages(self, count: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> None:
        """Moves the averages toward the statistics of a batch of `count` valid positions."""
        momentum = tf.cast(tf.where(count > 0, float(self.momentum), 1.0), self.variable_dtype)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(tf.convert_to_tensor(average) * momentum + value * (1.0 - momentum))

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
        }
