"""Pooling of sequences."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice
from lmn_tf.ops.sequence.masked import masked_mean, masked_sqrtn, masked_sum
from lmn_tf.ops.sequence.valid_positions import ValidPositions

_POOLS = {"mean": masked_mean, "sum": masked_sum, "sqrtn": masked_sqrtn}


@keras.saving.register_keras_serializable(package="lmn_tf")
class SequencePooling(keras.layers.Layer):
    """Pools a sequence over its valid positions.

    Computes `sum(mask * x) / max(sum(mask), 1)`, the sum alone, or with
    `"sqrtn"` the sum divided by the square root of the number of valid
    positions. A row without valid positions gives exactly 0.

    Args:
        pooling: `"mean"`, `"sum"` or `"sqrtn"`. Defaults to `"mean"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, length, d)`; or `(events, d)` with
            `windows`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid.
        windows: Optional `Windows` of the rows into events that they share.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If `pooling` is invalid.

    Example:

    >>> SequencePooling()(np.ones((2, 3, 4)), mask=np.ones((2, 3), bool)).shape
    TensorShape([2, 4])

    Reference:
        - Covington et al., "Deep Neural Networks for YouTube Recommendations",
          RecSys 2016.
    """

    def __init__(self, pooling: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check_choice("pooling", pooling, _POOLS)
        self.pooling = pooling
        self.supports_masking = True

    def call(
        self,
        inputs: tf.Tensor,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        if windows is not None:
            return getattr(windows, f"event_{self.pooling}")(inputs)
        return _POOLS[self.pooling](inputs, mask)

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return None  # positions are gone

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pooling": self.pooling}
