"""The values a table starts with, some rows at a time."""

import keras
import tensorflow as tf

_OF_ONE_VALUE = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
)
_DRAWS = 4  # numbers that the generator gives for each step of its counter


def initial_rows(initializer, shape, rows_at_a_time):
    """Yields what an initializer gives for a table, in pieces.

    The pieces of constants and of Keras' plain normal and uniform initializers are exactly those
    of the whole: the generator counts, and can start anywhere. Other initializers make the whole
    table at once.

    Args:
        initializer: Keras initializer.
        shape: Tuple, `(n,)` or `(n, d)`.
        rows_at_a_time: Integer.

    Yields:
        Pairs `(start, rows)` of an integer and a float32 tensor of shape `(rows, ...)`.
    """
    step = max(rows_at_a_time // _DRAWS, 1) * _DRAWS
    draw = _drawer(initializer, shape)
    if draw is None:
        yield 0, tf.convert_to_tensor(initializer(shape, dtype="float32"))
        return
    for start in range(0, shape[0], step):
        yield start, draw(start, min(start + step, shape[0]))


def _drawer(initializer, shape):
    """Returns the function of (start, stop) that makes some rows; `None` where there is none."""
    if type(initializer) in _OF_ONE_VALUE:
        return lambda start, stop: tf.convert_to_tensor(
            initializer((stop - start, *shape[1:]), dtype="float32")
        )
    if not isinstance(getattr(initializer, "seed", None), int):
        return None
    if type(initializer) is keras.initializers.RandomNormal:
        op, scale, shift = "StatelessRandomNormalV2", initializer.stddev, initializer.mean
    elif type(initializer) is keras.initializers.RandomUniform:
        op, shift = "StatelessRandomUniformV2", initializer.minval
        scale = tf.constant(initializer.maxval, tf.float32) - tf.constant(shift, tf.float32)
    else:
        return None
    width = 1 if len(shape) == 1 else shape[1]
    # As Keras turns integers into seeds of TensorFlow.
    seed = tf.constant([initializer.seed % (tf.int32.max - 1), 0], tf.int32)
    generator = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)

    def draw(start, stop):
        drawn = getattr(tf.raw_ops, op)(
            shape=(stop - start, *shape[1:]),
            key=generator.key,
            counter=generator.counter + tf.constant([start * width // _DRAWS, 0], tf.uint64),
            alg=tf.raw_ops.StatelessRandomGetAlg(),
            dtype=tf.float32,
        )
        return drawn * scale + shift

    return draw
