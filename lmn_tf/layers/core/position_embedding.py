"""Position embeddings, counted from the newest behavior."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.layers.base import check_axes, check_choice, check_positive_integer
from lmn_tf.ops.sequence.masked import widened, zero_padding
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class PositionEmbedding(keras.layers.Layer):
    """Adds a position embedding to each behavior; the newest has position 0.

    Computes `x_j + E[p_j]`, where `p_j` is the number of valid positions after `j`. Positions
    depend neither on the length of the history nor on the side of the padding. Positions from
    `max_length` on share the last embedding. Nothing is added at padding.

    The paper says that positions are relative. Counting them from the newest is our choice.

    Args:
        max_length: Integer. Number of distinct positions.
        encoding: `"learned"`, a table, or `"sinusoidal"`, fixed waves with wavelengths of up to
            `10_000` positions. Defaults to `"learned"`.
        embeddings_initializer: Initializer of the table. Defaults to `"uniform"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, d)`, oldest first.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.
        windows: Optional `Windows`, with which `inputs` are its pairs `(pairs, d)`.

    Returns:
        Float tensor like `inputs`.

    Raises:
        ValueError: If `max_length` is not a positive integer or `encoding` is unknown.

    Example:

    >>> layer = PositionEmbedding(2, embeddings_initializer="ones")
    >>> layer(np.zeros((1, 3, 1)), mask=np.array([[True, True, False]]))[0, :, 0].numpy()
    array([1., 1., 0.], dtype=float32)

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
          Systems", section 4.1.
        - Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.5, for the waves.
    """

    def __init__(
        self,
        max_length: int,
        encoding: str = "learned",
        embeddings_initializer: str = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("max_length", max_length)
        check_choice("encoding", encoding, ("learned", "sinusoidal"))
        self.max_length = max_length
        self.encoding = encoding
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.supports_masking = True

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        if self.encoding == "learned":
            # Not autocast: the gradient of a position is a sum over the batch, in float32.
            self.embeddings = self.add_weight(
                shape=(self.max_length, inputs_shape[-1]),
                initializer=self.embeddings_initializer,
                autocast=False,
                name="embeddings",
            )
        else:
            self._waves = _waves(self.max_length, inputs_shape[-1])
        self.built = True

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        axes = "(batch, length, d)" if windows is None else "(pairs, d)"
        check_axes("inputs", inputs.shape, axes)
        table = self.embeddings if self.encoding == "learned" else self._waves
        table = tf.convert_to_tensor(table)  # (max_length, d)
        if windows is not None:
            return inputs + _rows_of(table, self._clip(windows.newer), inputs.dtype)
        if mask is None:
            newer = tf.range(tf.shape(inputs)[1] - 1, -1, -1)
            return inputs + tf.cast(tf.gather(table, self._clip(newer)), inputs.dtype)
        valid = tf.cast(mask, tf.int32)
        newer = tf.cumsum(valid, axis=1, exclusive=True, reverse=True)  # (batch, length)
        rows = _rows_of(table, self._clip(newer), inputs.dtype)
        return inputs + zero_padding(rows, mask)

    def _clip(self, positions):
        return tf.minimum(positions, self.max_length - 1)

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return inputs_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_length": self.max_length,
            "encoding": self.encoding,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


def _rows_of(table, positions, dtype):
    @tf.custom_gradient
    def rows_of(table):
        # The gradient of `tf.gather` would hold a row for every behavior; the table is small.
        def gradient(upstream):
            size = tf.shape(table)[0]
            total = tf.math.unsorted_segment_sum(widened(upstream), positions, size)
            return tf.cast(total, table.dtype)

        return tf.gather(tf.cast(table, dtype), positions), gradient

    return rows_of(table)


def _waves(length, width):
    """Sines, then cosines of the positions, of shape `(length, width)`."""
    frequencies = 10_000.0 ** (-np.arange((width + 1) // 2) / max((width + 1) // 2, 1))
    angles = np.arange(length)[:, None] * frequencies
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width].astype("float32")
