"""A post-normalized residual block with parallel branches."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.memory.sparse_memory import SparseMemory


@keras.saving.register_keras_serializable(package="lmn_tf")
class FeedForwardBlock(keras.layers.Layer):
    """Adds a feed-forward layer, a memory or both to the inputs, and normalizes the sum.

    Computes `LN(x + feed_forward(x) + memory(x))`; either term may be omitted, so that a memory
    complements or replaces the feed-forward layer. Layer normalization is over the width only.

    Args:
        feed_forward: Keras layer that keeps the shape, or `None`. Defaults to `None`.
        memory: `SparseMemory`, or `None`. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, ..., D)`.
        user: Float tensor of shape `(batch, du)`, for a memory with user-aware queries.
        training: Boolean. Whether the branches add losses and use statistics of the batch.

    Returns:
        Float tensor of the same shape.

    Raises:
        ValueError: If neither branch is given, or `memory` is not a `SparseMemory`.

    Example:

    >>> dense = keras.layers.Dense(8)
    >>> FeedForwardBlock(dense, SparseMemory(num_keys=4, top_k=2))(np.ones((2, 8))).shape
    TensorShape([2, 8])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction).
    """

    def __init__(self, feed_forward: Any = None, memory: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if feed_forward is None and memory is None:
            raise ValueError(
                "`feed_forward` or `memory` must be given. Received: feed_forward=None, memory=None"
            )
        self.feed_forward = _layer(feed_forward)
        self.memory = _layer(memory)
        if self.memory is not None and not isinstance(self.memory, SparseMemory):
            raise ValueError(f"`memory` must be a SparseMemory. Received: memory={self.memory}")

    def build(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> None:
        if self.feed_forward is not None and not self.feed_forward.built:
            self.feed_forward.build(inputs_shape)
        if self.memory is not None and not self.memory.built:
            self.memory.build(inputs_shape, user_shape)
        self.output_norm = self._layer_norm("output_norm", inputs_shape)

    def _layer_norm(self, name, shape):
        norm = keras.layers.LayerNormalization(epsilon=1e-6, name=name, dtype=self.dtype_policy)
        norm.build(shape)
        return norm

    def call(
        self, inputs: tf.Tensor, user: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        total = inputs
        if self.feed_forward is not None:
            # Keras passes `training` to layers that accept it.
            total += keras.ops.cast(self.feed_forward(inputs), total.dtype)
        if self.memory is not None:
            read_out = self.memory(inputs, user=user, training=training)
            total += keras.ops.cast(read_out, total.dtype)
        return self.output_norm(total)

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        parts = {"feed_forward": self.feed_forward, "memory": self.memory}
        return {
            **super().get_config(),
            **{name: None if part is None else _config(part) for name, part in parts.items()},
        }


def _config(part):
    # Without how it was built: a part is to be built within the block, whose name is part of the
    # weights' paths.
    config = keras.saving.serialize_keras_object(part)
    return {key: value for key, value in config.items() if key != "build_config"}


def _layer(part):
    return keras.saving.deserialize_keras_object(part) if isinstance(part, dict) else part
