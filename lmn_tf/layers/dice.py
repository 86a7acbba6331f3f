"""The Dice activation of DIN."""

import keras
import tensorflow as tf

from lmn_tf.layers.masked_batch_normalization import MaskedBatchNormalization


@keras.saving.register_keras_serializable(package="lmn_tf")
class Dice(keras.layers.Layer):
    """Data-adaptive activation: a PReLU whose bend follows the data.

    Computes `p * x + alpha * (1 - p) * x` with
    `p = sigmoid((x - mean) / sqrt(variance + epsilon))` and a learned `alpha`
    for each channel. Mean and variance are those of the batch in training and
    moving averages otherwise (code published with DIEN uses the batch at all
    times, so that a score depends on its neighbours; this layer does not).
    Positions whose mask is false stay out of the statistics.

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

    def __init__(self, alpha_initializer="zeros", momentum=0.9, epsilon=1e-8, **kwargs):
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

    def build(self, inputs_shape):
        self.normalization.build(inputs_shape)
        self.alpha = self.add_weight(
            shape=(inputs_shape[-1],), initializer=self.alpha_initializer, name="alpha"
        )

    def call(self, inputs, mask=None, training=None):
        normalized = self.normalization(inputs, mask=mask, training=training)
        gate = tf.cast(tf.sigmoid(normalized), inputs.dtype)
        return inputs * (gate + tf.cast(self.alpha, inputs.dtype) * (1.0 - gate))

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {
            **super().get_config(),
            "alpha_initializer": keras.initializers.serialize(self.alpha_initializer),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
