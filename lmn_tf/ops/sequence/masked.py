"""Sums, means and softmax over the valid positions of padded sequences."""

from collections.abc import Callable

import tensorflow as tf

# Low enough that `exp` underflows to 0 beside any real score, and still finite
# in float32: a row of nothing but padding must not become NaN.
_MASKED_SCORE = -1e9


def widened(values: tf.Tensor) -> tf.Tensor:
    """Casts half precision to float32, for sums over long histories."""
    return tf.cast(values, tf.float32) if values.dtype.size == 2 else values


def through_float32(function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor) -> tf.Tensor:
    """Applies a function to `widened` values; the result has the precision of the values.

    A sum may be too large for float16 where the mean that is made of it is not.

    Args:
        function: Callable from a float tensor to a float tensor.
        values: Float tensor.

    Returns:
        Float tensor.

    Example:

    >>> through_float32(lambda x: tf.reduce_sum(x) / 2, tf.constant([6e4, 6e4], "float16")).dtype
    tf.float16
    """
    values = tf.convert_to_tensor(values)
    return tf.cast(function(widened(values)), values.dtype)


def zero_padding(inputs: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
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


def masked_sum(inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Sums a padded sequence over its valid positions.

    Args:
        inputs: Tensor of shape `(..., L, d)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor of shape `(..., d)`, exactly 0 for a row without valid positions.
    """
    return through_float32(lambda wide: _sum(wide, mask), inputs)


def masked_mean(inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Averages a padded sequence over its valid positions.

    Computes `sum(mask * x) / max(sum(mask), 1)`.

    Args:
        inputs: Tensor of shape `(..., L, d)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor of shape `(..., d)`, exactly 0 for a row without valid positions.
    """
    return through_float32(lambda wide: _sum(wide, mask) / _counts(wide, mask), inputs)


def masked_sqrtn(inputs: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
    """Sums a padded sequence over its valid positions, and divides by the root of their number.

    Computes `sum(mask * x) / sqrt(max(sum(mask), 1))`, which has the scale of one position if
    positions are independent, and grows with their number if they agree.

    Args:
        inputs: Tensor of shape `(..., L, d)`.
        mask: Boolean tensor of shape `(..., L)`, true where valid. Defaults to
            `None`, which means that every position is.

    Returns:
        Tensor of shape `(..., d)`, exactly 0 for a row without valid positions.
    """
    return through_float32(lambda wide: _sum(wide, mask) / tf.sqrt(_counts(wide, mask)), inputs)


def _sum(inputs, mask):
    return tf.reduce_sum(zero_padding(inputs, mask), axis=-2)


def _counts(inputs, mask):
    """The number of valid positions of each row, at least 1."""
    if mask is None:
        count = tf.cast(tf.shape(inputs)[-2], tf.float32)
    else:
        count = tf.reduce_sum(tf.cast(mask, tf.float32), axis=-1, keepdims=True)
    return tf.cast(tf.maximum(count, 1.0), inputs.dtype)


def masked_softmax(scores: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
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


def row_mean(rows: tf.Tensor) -> tf.Tensor:
    """Averages over the rows of a batch.

    Args:
        rows: Float tensor of shape `(batch, ...)`.

    Returns:
        Tensor of shape `(...)`; 0 for a batch without rows, of which a mean would be NaN.
    """
    return tf.where(tf.shape(rows)[0] > 0, tf.reduce_mean(rows, axis=0), tf.zeros([], rows.dtype))


def masked_moments(
    inputs: tf.Tensor, mask: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean and variance of each channel over the valid positions.

    Args:
        inputs: Float tensor of shape `(..., d)`.
        mask: Boolean tensor of shape `(...)`, true where valid; or float tensor,
            how often each position counts, of which all must be finite. Defaults
            to `None`, which means once.

    Returns:
        Tuple `(count, mean, variance)` in float32: a scalar and two tensors of
        shape `(d,)`; all 0 when nothing is valid.
    """
    inputs = tf.cast(inputs, tf.float32)
    if mask is not None and tf.as_dtype(mask.dtype).is_floating:
        return _weighted_moments(inputs, mask)
    inputs = zero_padding(inputs, mask)
    axes = list(range(inputs.shape.rank - 1))
    if mask is None:
        count = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), tf.float32)
    else:
        count = tf.reduce_sum(tf.cast(mask, tf.float32))
    divisor = tf.maximum(count, 1.0)
    mean = tf.reduce_sum(inputs, axes) / divisor
    deviation = zero_padding(inputs - mean, mask)
    return count, mean, tf.reduce_sum(tf.square(deviation), axes) / divisor


def _weighted_moments(inputs, weights):
    # Products read the inputs on all cores.
    inputs = tf.reshape(inputs, [-1, inputs.shape[-1]])
    weights = tf.cast(tf.reshape(weights, [1, -1]), tf.float32)
    count = tf.reduce_sum(weights)
    divisor = tf.maximum(count, 1.0)
    mean = tf.matmul(weights, inputs)[0] / divisor
    return count, mean, tf.matmul(weights, tf.square(inputs - mean))[0] / divisor


def top_positions(
    scores: tf.Tensor, mask: tf.Tensor | None = None, count: int = 1
) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the positions of the best valid scores of each row.

    Padding is excluded before the search, and marked in the result: a row may have
    fewer than `count` valid positions. (A product of scores and mask would be wrong,
    since 0 beats every negative score.) Among equal scores the newest wins, as
    histories run from oldest to newest. There is no gradient.

    Args:
        scores: Tensor of shape `(B, L)`.
        mask: Boolean tensor of shape `(B, L)`, true where valid. Defaults to
            `None`, which means that every position is.
        count: Integer. Positions wanted of each row. Defaults to `1`.

    Returns:
        Tuple `(positions, kept)` of shape `(B, min(count, L))`: int32 positions,
        best first, and whether each is valid. Invalid positions come last.

    Example:

    >>> scores = tf.constant([[-1.0, -2.0, 0.5, -3.0]])
    >>> mask = tf.constant([[True, True, True, False]])
    >>> top_positions(scores, mask, 2)[0].numpy().tolist()
    [[2, 0]]
    """
    scores = tf.cast(scores, tf.float32)
    length = tf.shape(scores)[1]
    if mask is None:
        mask = tf.ones_like(scores, tf.bool)
    mask = tf.cast(mask, tf.bool)
    scores = tf.where(mask, scores, -float("inf"))
    if scores.shape[1] is None:
        count = tf.minimum(count, length)
    else:
        count = min(count, scores.shape[1])
    # The kernel prefers the first of equals.
    best = tf.math.top_k(tf.reverse(scores, [1]), count).indices
    positions = length - 1 - best
    return positions, take_positions(mask, positions)


def take_positions(sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Takes the positions of each row that `top_positions` found.

    Args:
        sequence: Tensor of shape `(B, L, ...)`; or `(1, L, ...)`, which all rows share.
        positions: Integer tensor of shape `(B, K)`.

    Returns:
        Tensor of shape `(B, K, ...)`.
    """
    if sequence.shape[0] == 1:
        return tf.gather(sequence[0], positions)
    return tf.gather(sequence, positions, batch_dims=1)


def held_ids(events: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
    """Marks which ids of the candidate each event holds.

    Id 0 is padding, which no event holds.

    Args:
        events: Integer tensor of shape `(B, L)`, or `(B, L, U)` where an event has
            a list of ids.
        candidate: Integer tensor of shape `(B,)`, or `(B, V)`.

    Returns:
        Boolean tensor of shape `(B, L, V)`; `V` is 1 for single ids.

    Example:

    >>> held_ids([[[4, 2], [5, 0]]], [[2, 5, 0]]).numpy().tolist()
    [[[True, False, False], [False, True, False]]]
    """
    events, candidate = tf.convert_to_tensor(events), tf.convert_to_tensor(candidate)
    if events.shape.rank == 2:
        events = events[..., None]
    if candidate.shape.rank == 1:
        candidate = candidate[..., None]
    wanted = tf.cast(candidate, events.dtype)[:, None, None, :]
    held = tf.reduce_any(tf.equal(events[..., None], wanted), axis=2)  # (B, L, U, V) to (B, L, V)
    return tf.logical_and(held, tf.not_equal(candidate, 0)[:, None, :])
