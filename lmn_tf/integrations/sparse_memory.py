"""The memory of MSN for tf-keras."""

from typing import Any

import tensorflow as tf
import tf_keras

from lmn_tf.integrations.lending_layer import LendingLayer
from lmn_tf.layers.memory import sparse_memory


@tf_keras.saving.register_keras_serializable(package="lmn_tf")
class SparseMemory(LendingLayer):
    """`lmn_tf.layers.SparseMemory` as a layer of tf-keras, for models of TensorFlow Recommenders.

    It computes with the Keras 3 layer of that name, on the same ops, and the optimizers of tf-keras
    train it; see `LendingLayer`.

    Args:
        *args: Arguments of `lmn_tf.layers.SparseMemory`.
        **kwargs: Its further arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)` or `(batch, D)`.
        user: Float tensor of shape `(batch, du)`, for `query_source="user_aware"`.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where valid.
        training: Boolean. Whether to use query statistics of the batch, and to add the loss.

    Returns:
        Float tensor shaped like `inputs`.

    Example:

    >>> SparseMemory(num_keys=10, top_k=4)(np.ones((2, 3, 8), "float32")).shape
    TensorShape([2, 3, 8])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction).
    """

    layer_class = sparse_memory.SparseMemory

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_masking = True

    def call(
        self,
        inputs: tf.Tensor,
        user: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        return self.lend(inputs, user=user, mask=mask, training=training)

    def build_shapes(self, arguments: dict[str, Any]) -> dict[str, tf.TensorShape]:
        user = arguments["user"]
        return {"user_shape": None if user is None else user.shape}
