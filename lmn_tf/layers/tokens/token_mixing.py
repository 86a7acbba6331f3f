"""Parameter-free token mixing."""

import keras
import tensorflow as tf

from lmn_tf.layers.base import TOKENS, check_axes


@keras.saving.register_keras_serializable(package="lmn_tf")
class TokenMixing(keras.layers.Layer):
    """Mixes tokens by exchanging slices of them, without weights.

    Each of `T` tokens of width `D` is split into `T` heads of width `D / T`. Token `h` of the
    result is the concatenation of head `h` of all tokens. Mixing twice returns the inputs. In the
    paper the number of heads may differ from `T`, which would change the number of tokens and leave
    the residual connection undefined; here the two are equal.

    Args:
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)`.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If the number of tokens is unknown, or does not divide their width.

    Example:

    >>> TokenMixing()(np.arange(8.0).reshape(1, 2, 4)).numpy()
    array([[[0., 1., 4., 5.],
            [2., 3., 6., 7.]]], dtype=float32)

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.3.
    """

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        check_axes("inputs", inputs_shape, TOKENS)
        tokens, width = inputs_shape[1:]
        if tokens is None or width % tokens:
            raise ValueError(
                "the number of tokens must be known and divide their width. "
                f"Received: tokens={tokens}, width={width}"
            )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        tokens, width = inputs.shape[1:]
        heads = tf.reshape(inputs, [-1, tokens, tokens, width // tokens])  # (B, T, T, d / T)
        mixed = tf.reshape(tf.transpose(heads, [0, 2, 1, 3]), [-1, tokens, width])
        return tf.ensure_shape(mixed, inputs.shape)

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(inputs_shape)
