"""The large memory of LMN for tf-keras."""

from typing import Any

import tensorflow as tf
import tf_keras

from lmn_tf.integrations.lending_layer import LendingLayer
from lmn_tf.layers.memory import large_memory


@tf_keras.saving.register_keras_serializable(package="lmn_tf")
class LargeMemory(LendingLayer):
    """`lmn_tf.layers.LargeMemory` as a layer of tf-keras, for models of TensorFlow Recommenders.

    It computes with the Keras 3 layer of that name, on the same ops, and the optimizers of tf-keras
    train it; see `LendingLayer`. A step moves only the slots that were read where the optimizer
    updates sparsely, as `tf_keras.optimizers.Adagrad` does. In `fit` the memory loss joins the
    regularization losses, and `memory_loss`, `query_norm` and `read_out_norm` are logged.

    Args:
        *args: Arguments of `lmn_tf.layers.LargeMemory`.
        **kwargs: Its further arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`.
        user: Optional float tensor of shape `(batch, du)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid. Defaults to the
            Keras mask of `history`.
        target: Optional float tensor of shape `(batch, d)`.
        training: Boolean. Whether to use query statistics of the batch.

    Returns:
        Float tensor, as of `lmn_tf.layers.LargeMemory`.

    Example:

    >>> layer = LargeMemory(num_keys=20, top_k=4)
    >>> layer(np.ones((2, 5, 8), "float32"), user=np.ones((2, 3), "float32")).shape
    TensorShape([2, 8])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12.
    """

    layer_class = large_memory.LargeMemory

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def call(
        self,
        history: tf.Tensor,
        user: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        target: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        return self.lend(history, user=user, mask=mask, target=target, training=training)

    def build_shapes(self, arguments: dict[str, Any]) -> dict[str, tf.TensorShape]:
        user, target = arguments["user"], arguments["target"]
        return {
            "user_shape": None if user is None else user.shape,
            "target_shape": None if target is None else target.shape,
        }

    def compute_mask(self, inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor | None:
        return self.keras_layer.compute_mask(inputs, mask)
