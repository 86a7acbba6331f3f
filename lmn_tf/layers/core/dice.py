"""The Dice activation of DIN."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count
from lmn_tf.layers.core.masked_batch_normalization import MaskedBatchNormalization
from lmn_tf.ops.compile import has_gpu, is_compiling_with_xla


@keras.saving.register_keras_serializable(package="lmn_tf")
class Dice(keras.layers.Layer):
    """Data-adaptive activation: a PReLU whose bend follows the data.

    Computes `p * x + alpha * (1 - p) * x` with
    `p = sigmoid((x - mean) / sqrt(variance + epsilon))` and a learned `alpha`
    for each channel. Mean and variance are those of the batch in training and
    moving averages otherwise. (The code published with DIEN always uses the
    batch, so that a score depends on the other rows; this layer does not.)
    Positions whose mask is false do not enter the statistics.

    Args:
        alpha_initializer: Initializer of `alpha`. Defaults to `"zeros"`.
        momentum: Float. Share of the moving averages kept at each step.
            Defaults to `0.9`.
        epsilon: Float. Added to the variance. Defaults to `1e-08`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(..., d)`.
        mask: Optional boolean tensor of shape `(...)`, true where valid.
        training: Boolean. Whether to use the statistics of the batch.

    Returns:
        Float tensor shaped like `inputs`.

    Example:

    >>> x = np.array([[-1.0], [0.0], [1.0], [4.0]])
    >>> [round(value, 4) for value in Dice()(x, training=True).numpy().ravel().tolist()]
    [-0.2556, 0.0, 0.5, 3.3301]

    Reference:
        - Zhou et al., "Deep Interest Network for Click-Through Rate
          Prediction", KDD 2018, eq. 3.
    """

    def __init__(
        self,
        alpha_initializer: str = "zeros",
        momentum: float = 0.9,
        epsilon: float = 1e-8,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = keras.initializers.get(alpha_initializer)
        self.momentum = momentum
        self.epsilon = epsilon
        self.supports_masking = True
        self.normalization = MaskedBatchNormalization(
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            # In float16 small deviations would vanish before the sigmoid.
            dtype="float32",
            name="normalization",
        )

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        self.normalization.build(inputs_shape)
        self.alpha = self.add_weight(
            shape=(inputs_shape[-1],), initializer=self.alpha_initializer, name="alpha"
        )

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        if self._is_one_kernel(inputs, mask, training):
            output, mean, variance = _dice(inputs, tf.convert_to_tensor(self.alpha), self.epsilon)
            self.normalization.update_averages(tf.shape(inputs)[0], mean, variance)
            return output
        normalized = self.normalization(inputs, mask=mask, training=training)
        gate = tf.cast(tf.sigmoid(normalized), inputs.dtype)
        return inputs * (gate + tf.cast(self.alpha, inputs.dtype) * (1.0 - gate))

    def _is_one_kernel(self, inputs, mask, training):
        """Whether the batch statistics are those of all rows, in float32 on a CPU."""
        return (
            bool(training)
            and self.normalization.trainable
            and mask is None
            and inputs.shape.rank == 2
            and inputs.dtype == tf.float32
            and replica_count() == 1
            and not is_compiling_with_xla()
            and not has_gpu()
        )

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


def _dice(inputs, alpha, epsilon):
    """Dice of `(N, d)` with the statistics of its rows, which are returned without gradient.

    Dice is memory-bound: each operation reads and writes all activations. TensorFlow's fused
    batch normalization and a custom gradient, which keeps two intermediate tensors and reads each
    as rarely as possible, take half the operations of automatic differentiation.
    """
    width = inputs.shape[-1]
    count = tf.cast(tf.shape(inputs)[0], tf.float32)

    @tf.custom_gradient
    def compute(inputs, alpha):
        normal = tf.raw_ops.FusedBatchNormV3(
            x=inputs[None, :, None, :],
            scale=tf.ones([width]),
            offset=tf.zeros([width]),
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=epsilon,
        )
        gate = tf.sigmoid(tf.reshape(normal.y, [-1, width]))
        slope = gate * (1.0 - alpha) + alpha

        def gradient(upstream, *_):
            by_gate = upstream * inputs
            # Scaling by `1 - alpha` commutes with the normalization: it acts as its gamma.
            by_normal = tf.raw_ops.SigmoidGrad(y=gate, dy=by_gate)
            through_norm = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=by_normal[None, :, None, :],
                x=inputs[None, :, None, :],
                scale=1.0 - alpha,
                reserve_space_1=normal.reserve_space_1,
                reserve_space_2=normal.reserve_space_2,
                reserve_space_3=normal.reserve_space_3,
                epsilon=epsilon,
            ).x_backprop
            by_alpha = _column_sum(by_gate) - _column_sum(by_gate * gate)
            return upstream * slope + tf.reshape(through_norm, [-1, width]), by_alpha

        # `FusedBatchNormV3` returns the unbiased variance, and NaN for a batch without rows.
        share = tf.maximum(count - 1.0, 1.0) / tf.maximum(count, 1.0)
        mean, variance = (
            tf.where(count > 0, value, 0.0)
            for value in (normal.batch_mean, normal.batch_variance * share)
        )
        return (inputs * slope, mean, variance), gradient

    return compute(inputs, alpha)


def _column_sum(x):
    # A product reads `x` on all cores; `reduce_sum` over rows is three times slower.
    return tf.matmul(tf.ones([1, tf.shape(x)[0]], x.dtype), x)[0]
