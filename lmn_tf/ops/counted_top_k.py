"""Exact top-k of short rows: each member counts how many come before it."""

import tensorflow as tf

_UNROLL = 8  # columns compared in one turn of a loop: fewer turns, longer compilation


def counted_top_k(keys, ids, k):
    """Finds the `k` largest keys of each row, of equals those with the lowest ids.

    Every key is compared with every other, which XLA does on whole vectors: for
    the few hundred keys of a row that is left after a filter it takes a fraction of
    the time of XLA's sort.

    Args:
        keys: Int32 tensor of shape `(rows, c)`.
        ids: Int32 tensor of shape `(rows, c)`. No two of a row may agree in key and id.
        k: Integer, at most `c`.

    Returns:
        Tuple `(keys, ids)` of int32 tensors of shape `(rows, k)`, best first.
    """
    return _select(_ranks(keys, ids), (keys, ids), k)


def fold_columns(body, state, *tensors):
    """Folds `body(state, index, column, ...)` over the columns of `(rows, c)` tensors.

    A loop of a few columns at a time. XLA's own reduction of a broadcast
    comparison is not vectorised, and takes eight times as long; one loop body for
    all columns takes half a minute to compile.

    Args:
        body: Function of the state, the index of a column and that column of each
            tensor, `(rows, 1)`; it returns the next state.
        state: Tensor, or tuple of tensors.
        *tensors: Tensors of shape `(rows, c)`, with `c` static.

    Returns:
        The last state.
    """
    rows, width = tf.shape(tensors[0])[0], tensors[0].shape[1]
    turns = width // _UNROLL

    def turn(index, state):
        start = index * _UNROLL
        blocks = [tf.slice(tensor, [0, start], [rows, _UNROLL]) for tensor in tensors]
        for offset in range(_UNROLL):
            columns = (block[:, offset : offset + 1] for block in blocks)
            state = body(state, start + offset, *columns)
        return index + 1, state

    if turns:
        _, state = tf.while_loop(lambda index, _: index < turns, turn, (tf.constant(0), state))
    for column in range(turns * _UNROLL, width):
        state = body(state, column, *(tensor[:, column : column + 1] for tensor in tensors))
    return state


def _ranks(keys, ids):
    def count(ranks, _, key, id_):
        is_before = (key > keys) | (tf.equal(key, keys) & (id_ < ids))
        return ranks + tf.cast(is_before, tf.int32)

    return fold_columns(count, tf.zeros_like(keys), keys, ids)


def _select(ranks, tensors, k):
    """Puts the columns of rank 0 to `k - 1` in the order of their ranks."""
    wanted = tf.range(k)[None, :]

    def put(chosen, _, rank, *columns):
        is_here = tf.equal(rank, wanted)
        return tuple(
            tf.where(is_here, column, before)
            for column, before in zip(columns, chosen, strict=True)
        )

    none = tf.zeros_like(ranks[:, :k])
    return fold_columns(put, (none,) * len(tensors), ranks, *tensors)
