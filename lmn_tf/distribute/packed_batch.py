"""A batch as one tensor: each tensor that is sent to another process costs a round trip."""

import numpy as np
import tensorflow as tf

_WORD = 8  # bytes of each number of a shape


def can_be_packed(spec):
    """Says whether batches of an element spec can be packed.

    Args:
        spec: Structure of `tf.TensorSpec`.
    """
    return all(
        isinstance(one, tf.TensorSpec)
        and one.shape.rank is not None
        and (one.dtype.is_floating or one.dtype.is_integer or one.dtype.is_bool)
        for one in tf.nest.flatten(spec)
    )


def pack(batch):
    """Puts the tensors of a batch behind each other, after their shapes.

    Args:
        batch: Structure of eager tensors.

    Returns:
        uint8 tensor of shape `(bytes,)`.

    Example:

    >>> batch = {"a": tf.ones((2, 3)), "b": tf.constant([True, False])}
    >>> spec = {"a": tf.TensorSpec((None, 3)), "b": tf.TensorSpec((None,), tf.bool)}
    >>> unpack(pack(batch), spec)["b"].numpy().tolist()
    [True, False]
    """
    arrays = [np.asarray(one, order="C") for one in tf.nest.flatten(batch)]
    shapes = np.array([size for array in arrays for size in array.shape], np.int64)
    parts = [shapes, *arrays]
    return tf.constant(np.concatenate([part.reshape(-1).view(np.uint8) for part in parts]))


def unpack(packed, spec):
    """Takes apart what `pack` made.

    Args:
        packed: uint8 tensor of shape `(bytes,)`.
        spec: Structure of `tf.TensorSpec` of the batch.

    Returns:
        Structure of tensors.
    """
    specs = tf.nest.flatten(spec)
    ranks = [one.shape.rank for one in specs]
    start = _WORD * sum(ranks)
    shapes = tf.split(_cast(packed[:start], tf.int64), ranks)
    tensors = []
    for one, shape in zip(specs, shapes, strict=True):
        stop = start + tf.reduce_prod(shape) * one.dtype.size
        tensor = tf.reshape(_cast(packed[start:stop], one.dtype), shape)
        tensors.append(tf.ensure_shape(tensor, one.shape))
        start = stop
    return tf.nest.pack_sequence_as(spec, tensors)


def _cast(packed, dtype):
    if dtype == tf.bool:
        return tf.cast(packed, tf.bool)
    if dtype.size == 1:
        return tf.bitcast(packed, dtype)
    return tf.bitcast(tf.reshape(packed, [-1, dtype.size]), dtype)
