"""Base class of layers that read histories."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.keras_internals import keras_mask
from lmn_tf.layers.base import check_axes
from lmn_tf.ops.sequence.valid_positions import ValidPositions


class HistoryLayer(keras.layers.Layer):
    """A layer that maps a history to one output per row.

    The first input may carry a Keras mask, which `mask_of` returns. The output carries none, since
    it has no positions; a layer that keeps positions overrides `compute_mask`. `supports_jit` is
    `False`: XLA would compile such a layer again for each length, and is often slower on CPUs.
    Parts that are faster under XLA are compiled separately.

    Args:
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Example:

    >>> class Newest(HistoryLayer):
    ...     def call(self, history, mask=None):
    ...         return history[:, -1] if mask_of(history, mask) is None else None
    >>> Newest()(np.ones((2, 5, 8))).shape
    TensorShape([2, 8])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.supports_jit = False

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return None


def mask_of(history: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor | None:
    """Returns the mask passed to a layer, or else the Keras mask of its input.

    Args:
        history: Tensor that may carry a Keras mask.
        mask: Boolean tensor of shape `(batch, length)`, or `None`.

    Returns:
        Boolean tensor of shape `(batch, length)`, or `None` where all positions are valid.

    Example:

    >>> mask_of(np.ones((2, 5, 8)), None) is None
    True
    """
    return keras_mask(history) if mask is None else mask


def events_of(
    history: tf.Tensor, mask: tf.Tensor | None, windows: ValidPositions | None
) -> tuple[tf.Tensor, ValidPositions]:
    """Returns the events of a layer's call, and where the rows find theirs.

    Args:
        history: Float tensor of shape `(batch, length, d)`, which may carry a Keras mask; or with
            `windows` of shape `(events, d)`.
        mask: Boolean tensor of shape `(batch, length)`, or `None`.
        windows: `Windows` into the events, or `None`.

    Returns:
        Pair of a tensor of shape `(events, d)`, and `Windows` or `ValidPositions`.

    Raises:
        ValueError: If `history` has another number of axes.

    Example:

    >>> events, positions = events_of(np.ones((2, 5, 8)), None, None)
    >>> events.shape, positions.event_sum(events).shape
    (TensorShape([10, 8]), TensorShape([2, 8]))
    """
    if windows is not None:
        check_axes("history", history.shape, "(events, d)")
        return history, windows
    check_axes("history", history.shape)
    positions = ValidPositions(mask_of(history, mask), history)
    return positions.take(history), positions
