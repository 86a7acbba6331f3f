"""The best positions of padded sequences."""

import tensorflow as tf


def top_positions(scores, mask=None, count=1):
    """Finds the positions of the best valid scores of each row.

    Padding is ruled out before the search, and once more by the mask of what was
    found: a row may have fewer than `count` valid positions. A product of scores
    and mask would not do, since 0 beats every negative score. Of equal scores the
    newest wins, as histories run from oldest to newest; so equal scores all over
    give the newest positions. Nothing here has a gradient.

    Args:
        scores: Tensor of shape `(B, L)`.
        mask: Boolean tensor of shape `(B, L)`, true where valid. Defaults to
            `None`, which means that every position is.
        count: Integer. Positions wanted of each row. Defaults to `1`.

    Returns:
        Tuple `(positions, kept)` of shape `(B, min(count, L))`: int32 positions,
        the best first, and whether each is a valid one. What is not kept comes
        last.

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


def take_positions(sequence, positions):
    """Takes the positions of each row that `top_positions` found.

    Args:
        sequence: Tensor of shape `(B, L, ...)`.
        positions: Integer tensor of shape `(B, K)`.

    Returns:
        Tensor of shape `(B, K, ...)`.
    """
    return tf.gather(sequence, positions, batch_dims=1)
