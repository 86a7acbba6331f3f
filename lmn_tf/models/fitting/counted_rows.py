"""Removal of rows with weight 0 from a batch."""

from typing import Any

import tensorflow as tf

from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.ops.compile import is_compiling_with_xla
from lmn_tf.specs.errors import UserError


def counted_rows(
    x: Any, y: Any, sample_weight: Any, batches: WindowBatches | None = None
) -> tuple[Any, Any, tf.Tensor | None]:
    """Removes the rows of a batch whose weight is 0.

    A step is then the same as with the other rows only: rows of weight 0 are not part of losses
    (including those without labels), means over rows, batch statistics, balance losses and metrics.
    Positive weights apply to the losses of labels and to `weighted_metrics`; otherwise rows with
    positive weights count equally. XLA needs fixed shapes, so no row can be removed, and weights
    are an error.

    Args:
        x: Features: a tensor or any nesting of tensors, of shapes `(batch, ...)` except for the
            windows that `batches` handles.
        y: Labels, a tensor or any nesting of tensors of shapes `(batch, ...)`.
        sample_weight: Tensor of shape `(batch,)` or `(batch, labels)`; a row is kept if any of its
            weights is not 0. `None` keeps all rows.
        batches: `WindowBatches`, if features may contain histories as windows. Defaults to `None`.

    Returns:
        Tuple `(x, y, sample_weight)`.

    Raises:
        UserError: If XLA compiles the caller and there are weights.

    Example:

    >>> x, y, weights = counted_rows(np.array([1, 2, 3]), np.array([0, 1, 0]), np.array([1, 0, 2]))
    >>> x.numpy().tolist(), y.numpy().tolist(), weights.numpy().tolist()
    ([1, 3], [0, 0], [1, 2])
    """
    if sample_weight is None:
        return x, y, sample_weight
    refuse_weights(is_compiling_with_xla())
    weights = tf.convert_to_tensor(sample_weight)
    counts = tf.reduce_any(tf.reshape(weights, [tf.shape(weights)[0], -1]) != 0, axis=1)
    whole = tf.nest.map_structure(tf.convert_to_tensor, (x, y, weights))
    batches = WindowBatches() if batches is None else batches

    def those():
        return batches.kept(whole[0], counts), *WindowBatches().kept(whole[1:], counts)

    kept = tf.cond(tf.reduce_all(counts), lambda: tf.nest.map_structure(tf.identity, whole), those)
    if not tf.executing_eagerly():
        for part, before in zip(tf.nest.flatten(kept), tf.nest.flatten(whole), strict=True):
            part.set_shape([None, *before.shape[1:]])
    return kept


def has_weights(data: Any) -> bool:
    """Returns whether rows of data have weights, without reading data.

    Args:
        data: Dataset of batches, or a tuple of features, labels and weights; other data have none.

    Example:

    >>> has_weights((np.ones((2, 3)), np.ones(2), np.ones(2))), has_weights(None)
    (True, False)
    """
    batch = getattr(data, "element_spec", data)
    if not isinstance(batch, (tuple, list)) or len(batch) != 3:
        return False
    return not isinstance(batch[2], (type(None), tf.NoneTensorSpec))


def refuse_weights(is_compiled: bool) -> None:
    """Raises a `UserError` for rows with weights if XLA compiles a step.

    Args:
        is_compiled: Boolean. Whether XLA compiles the step.
    """
    if is_compiled:
        raise UserError(
            "`jit_compile` must be False where rows have weights, of samples or of classes: XLA "
            "cannot leave out rows of weight 0. Received: jit_compile=True"
        )
