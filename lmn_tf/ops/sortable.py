"""Floats as integers that sort like them."""

import tensorflow as tf

_FLIP = 0x7FFFFFFF
LOWEST = -(2**31)


def to_sortable(scores):
    """Turns float32 scores into int32 that compare like them, NaN as minus infinity.

    Read as integers, positive floats sort like floats, negative ones the other
    way round: their lower bits are flipped. Zero has one form, and no score
    becomes `LOWEST`, which is free to mean "no score".

    Args:
        scores: Float32 tensor.

    Returns:
        Int32 tensor of the same shape.
    """
    scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
    bits = tf.bitcast(scores, tf.int32)
    # The lowest integer is -0.0. (Adding 0.0 would mend it too, but XLA leaves that out.)
    bits = tf.where(tf.equal(bits, LOWEST), 0, bits)
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, _FLIP), bits)


def from_sortable(keys):
    """Turns the int32 of `to_sortable` back into float32 scores."""
    bits = tf.where(keys < 0, tf.bitwise.bitwise_xor(keys, _FLIP), keys)
    return tf.bitcast(bits, tf.float32)
