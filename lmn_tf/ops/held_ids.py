"""Which events hold the ids of the candidate."""

import tensorflow as tf


def held_ids(events, candidate):
    """Says which ids of the candidate each event holds.

    Id 0 is padding and held by none.

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
    held = tf.reduce_any(tf.equal(events[..., None], wanted), axis=2)
    return tf.logical_and(held, tf.not_equal(candidate, 0)[:, None, :])
