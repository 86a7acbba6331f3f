"""Sums, means and softmax over the valid positions of padded sequences."""

import tensorflow as tf

# Low enough that `exp` underflows to 0 beside any real score, and still finite
# in float32: a row of nothing but padding must not become NaN.
_MASKED_SCORE = -1e9


def zero_padding(inputs, mask):
    """Puts zeros where the mask is false, so that padding content cannot leak.

    A product with the mask would keep NaN and infinity alive; a selection does
    not, neither forward nor backward.

    Args:
        inputs: Tensor of shape `(..., d)`.
        mask: Boolean tensor of shape `(...)`, or `None` when all is valid.

    Returns:
        Tensor like `inputs`.
    """
    if mask is None:
        return inputs
    return tf.where(tf.cast(mask, tf.bool)[..., None], inputs, tf.zeros([], inputs.dtype))


def masked_sum(inputs, mask=None):
    """Sums a padded sequence over its valid positions.

    Args:
        inputs: Tensor of shape `(..., L, d)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor of shape `(..., d)`, exactly 0 for a row without valid positions.
    """
    return tf.reduce_sum(zero_padding(inputs, mask), axis=-2)


def masked_mean(inputs, mask=None):
    """Averages a padded sequence over its valid positions.

    Computes `sum(mask * x) / max(sum(mask), 1)`.

    Args:
        inputs: Tensor of shape `(..., L, d)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor of shape `(..., d)`, exactly 0 for a row without valid positions.
    """
    total = masked_sum(inputs, mask)
    if mask is None:
        length = tf.cast(tf.maximum(tf.shape(inputs)[-2], 1), total.dtype)
        return total / length
    # Counted in float32: float16 cannot count beyond 2,048.
    count = tf.reduce_sum(tf.cast(mask, tf.float32), axis=-1, keepdims=True)
    return total / tf.cast(tf.maximum(count, 1.0), total.dtype)


def masked_softmax(scores, mask=None):
    """Softmax over the valid positions of the last axis; padding gets exactly 0.

    Computed in float32 and returned in the dtype of `scores`. Padded scores are
    replaced before the softmax and their weights removed after it, so a row of
    nothing but padding gives zeros instead of a uniform distribution.

    Args:
        scores: Tensor of shape `(..., L)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor like `scores` that sums to 1 over the last axis, or to 0 where
        nothing is valid.
    """
    weights = tf.cast(scores, tf.float32)
    if mask is not None:
        mask = tf.cast(mask, tf.bool)
        weights = tf.where(mask, weights, _MASKED_SCORE)
    weights = tf.nn.softmax(weights, axis=-1)
    if mask is not None:
        weights = tf.where(mask, weights, 0.0)
    return tf.cast(weights, scores.dtype)


def row_mean(rows):
    """Averages over the rows of a batch.

    Args:
        rows: Float tensor of shape `(batch, ...)`.

    Returns:
        Tensor of shape `(...)`; 0 for a batch without rows, of which a mean would be NaN.
    """
    return tf.where(tf.shape(rows)[0] > 0, tf.reduce_mean(rows, axis=0), tf.zeros([], rows.dtype))


def masked_moments(inputs, mask=None):
    """Mean and variance of each channel over the valid positions.

    Args:
        inputs: Float tensor of shape `(..., d)`.
        mask: Boolean tensor of shape `(...)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tuple `(count, mean, variance)` in float32: a scalar and two tensors of
        shape `(d,)`; all 0 when nothing is valid.
    """
    inputs = zero_padding(tf.cast(inputs, tf.float32), mask)
    axes = list(range(inputs.shape.rank - 1))
    if mask is None:
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    else:
        count = tf.reduce_sum(tf.cast(mask, tf.float32))
    divisor = tf.maximum(count, 1.0)
    mean = tf.reduce_sum(inputs, axes) / divisor
    deviation = zero_padding(inputs - mean, mask)
    return count, mean, tf.reduce_sum(tf.square(deviation), axes) / divisor
