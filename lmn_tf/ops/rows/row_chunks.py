"""Maps and folds over rows in chunks of fixed size."""

from collections.abc import Callable

import tensorflow as tf


def map_row_chunks(
    function: Callable,
    tensors: tuple[tf.Tensor, ...],
    rows_at_a_time: int,
    dtypes: tuple[tf.DType, ...],
) -> tuple[tf.Tensor, ...]:
    """Applies a function to all rows, in chunks of fixed size.

    XLA needs static shapes, but the number of valid positions differs from batch
    to batch: one compilation for chunks of one size replaces one per number of
    rows. A chunk stays in the cache of one core, and chunks run in parallel. The
    last chunk overlaps the one before; rows are padded only if they are fewer
    than one chunk.

    Args:
        function: Function of tensors `(rows_at_a_time, ...)` that returns a tuple
            of such tensors; each row must be computed from the same row.
        tensors: Tuple of tensors of shape `(N, ...)`.
        rows_at_a_time: Integer.
        dtypes: Tuple with the dtype of each tensor that `function` returns.

    Returns:
        Tuple of tensors of shape `(N, ...)`.
    """
    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    count = tf.shape(tensors[0])[0]
    total = tf.maximum(count, rows_at_a_time)
    missing = total - count
    tensors = [_fill_up(tensor, missing) for tensor in tensors]
    num_chunks = (total + rows_at_a_time - 1) // rows_at_a_time

    def one_chunk(index):
        start = tf.minimum(index * rows_at_a_time, total - rows_at_a_time)
        return function(
            *(
                tf.ensure_shape(
                    _slice_rows(tensor, start, rows_at_a_time), [rows_at_a_time, *tensor.shape[1:]]
                )
                for tensor in tensors
            )
        )

    chunks = tf.map_fn(one_chunk, tf.range(num_chunks), fn_output_signature=tuple(dtypes))
    in_last = count - (num_chunks - 1) * rows_at_a_time
    return tuple(_join(chunk, in_last, missing, rows_at_a_time) for chunk in chunks)


def fold_row_chunks(
    function: Callable, state: tf.Tensor, tensors: tuple[tf.Tensor, ...], rows_at_a_time: int
) -> tf.Tensor:
    """Folds a function over all rows, chunk by chunk.

    Args:
        function: Function of the state, a boolean tensor `(rows,)` and one tensor
            `(rows, ...)` for each of `tensors`. It returns the next state, from rows whose
            boolean is true only: the last chunk overlaps the one before.
        state: Tensor. The first state.
        tensors: Tuple of tensors of shape `(N, ...)`.
        rows_at_a_time: Integer. Maximum number of rows of a chunk.

    Returns:
        Tensor like `state`. The last state.
    """
    tensors = [tf.convert_to_tensor(tensor) for tensor in tensors]
    count = tf.shape(tensors[0])[0]
    # No `tf.cond` around the loop: TensorFlow's graph optimizer skips such graphs.
    size = tf.minimum(count, rows_at_a_time)
    num_chunks = (count + rows_at_a_time - 1) // rows_at_a_time

    def one_chunk(index, state):
        start = tf.minimum(index * rows_at_a_time, count - size)
        is_new = start + tf.range(size) >= index * rows_at_a_time
        chunk = (_slice_rows(tensor, start, size) for tensor in tensors)
        return index + 1, function(state, is_new, *chunk)

    # Parallel chunks would keep their sums in memory until these are added.
    return tf.while_loop(
        lambda index, _: index < num_chunks,
        one_chunk,
        (tf.constant(0), state),
        parallel_iterations=1,
    )[1]


def _slice_rows(tensor, start, count):
    # Inside XLA, only a slice of given size may start at a dynamic index.
    begin = tf.concat([[start], tf.zeros([tensor.shape.rank - 1], tf.int32)], axis=0)
    return tf.slice(tensor, begin, tf.concat([[count], tf.shape(tensor)[1:]], axis=0))


def _fill_up(tensor, missing):
    paddings = [[0, missing]] + [[0, 0]] * (tensor.shape.rank - 1)
    return tf.cond(missing > 0, lambda: tf.pad(tensor, paddings), lambda: tensor)


def _join(chunks, in_last, missing, rows_at_a_time):
    before = tf.reshape(chunks[:-1], tf.concat([[-1], tf.shape(chunks)[2:]], axis=0))
    # Padding is at the end; rows of the previous chunk are at the start.
    last = chunks[-1]
    last = tf.cond(missing > 0, lambda: last[:in_last], lambda: last[rows_at_a_time - in_last :])
    return tf.concat([before, last], axis=0)
