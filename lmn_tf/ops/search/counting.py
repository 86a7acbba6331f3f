"""Top-k by counting: filter by a bound, compact, rank."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

_UNROLL = 8  # columns compared per iteration of a loop: fewer iterations, longer compilation
_WORD = 16  # members of a group, whose marks share an int32 with the count before the group
_FLIP = 0x7FFFFFFF
LOWEST = -(2**31)


def to_sortable(scores: tf.Tensor) -> tf.Tensor:
    """Converts float32 scores to int32 with the same order, NaN as minus infinity.

    The bits of positive floats, as integers, have the order of floats, those of
    negative ones the reverse order: their lower bits are flipped. Zero has one
    form, and no score becomes `LOWEST`, which represents "no score".

    Args:
        scores: Float32 tensor.

    Returns:
        Int32 tensor of the same shape.
    """
    scores = tf.where(tf.math.is_nan(scores), -float("inf"), scores)
    bits = tf.bitcast(scores, tf.int32)
    # The lowest integer is -0.0. (XLA removes an addition of 0.0, which would also fix it.)
    bits = tf.where(tf.equal(bits, LOWEST), 0, bits)
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, _FLIP), bits)


def from_sortable(keys: tf.Tensor) -> tf.Tensor:
    """Converts the int32 of `to_sortable` back to float32 scores."""
    bits = tf.where(keys < 0, tf.bitwise.bitwise_xor(keys, _FLIP), keys)
    return tf.bitcast(bits, tf.float32)


def counted_top_k(keys: tf.Tensor, ids: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Finds the `k` largest keys of each row, lowest ids first among equals.

    Every key is compared with every other, which XLA vectorizes: for the few hundred
    keys of a row after a filter, it takes a fraction of the time of XLA's sort.

    Args:
        keys: Int32 tensor of shape `(rows, c)`.
        ids: Int32 tensor of shape `(rows, c)`. No two of a row may agree in key and id.
        k: Integer, at most `c`.

    Returns:
        Tuple `(keys, ids)` of int32 tensors of shape `(rows, k)`, best first.
    """
    return _select(_ranks(keys, ids), (keys, ids), k)


def fold_columns(
    body: Callable, state: tf.Tensor | tuple[tf.Tensor, ...], *tensors: tf.Tensor
) -> tf.Tensor | tuple[tf.Tensor, ...]:
    """Folds `body(state, index, column, ...)` over the columns of `(rows, c)` tensors.

    The loop is unrolled by a few columns. XLA's reduction of a broadcast comparison is
    not vectorized and takes eight times as long; a fully unrolled loop takes half a
    minute to compile.

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
    """Sorts the columns of rank 0 to `k - 1` by their ranks."""
    wanted = tf.range(k)[None, :]

    def put(chosen, _, rank, *columns):
        is_here = tf.equal(rank, wanted)
        return tuple(
            tf.where(is_here, column, before)
            for column, before in zip(columns, chosen, strict=True)
        )

    none = tf.zeros_like(ranks[:, :k])
    return fold_columns(put, (none,) * len(tensors), ranks, *tensors)


def filtered_top_k(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Finds the `k` largest of each row, or marks the row for an exact search.

    A heap, as in `tf.math.top_k`, mispredicts a branch at every push. Here, each
    step is arithmetic on whole vectors:

    1. *Filter.* The `k`-th largest of some `2 * k` group maxima is a bound that
       at least `k` scores reach, and about `1.4 * k` do.
    2. *Compact.* The scores that reach the bound are marked, one bit each, one
       word a group, and the `p`-th mark of the row is looked up for each `p`.
    3. *Rank.* Each of the few remaining scores counts how many come before it.

    If more scores reach the bound than the capacity (in one row of thousands, or
    in rows of equal scores), the row is marked instead.

    Args:
        scores: Float32 tensor of shape `(rows, m)`, with `m` static.
        k: Integer, at most half of `m`.

    Returns:
        Tuple `(keys, ids, is_left)`: int32 `(rows, k)` scores in the form of
        `to_sortable`, best first and lowest id first among equals; int32
        `(rows, k)` ids; and boolean `(rows,)`, true for rows whose keys and ids
        must not be used.
    """
    width = scores.shape[1]
    members = min(_WORD, -(-width // (2 * k)))
    num_groups = -(-width // members)
    parts = _split(to_sortable(scores), num_groups)  # members of (rows, num_groups)
    maxima = _maximum(parts)  # (rows, num_groups)
    bound = _kth_largest(_maximum(_split(maxima, 2 * k)) if num_groups > 2 * k else maxima, k)
    marks = tf.add_n(
        [tf.cast(part >= bound, tf.int32) * (1 << index) for index, part in enumerate(parts)]
    )
    ids, total = _marked_ids(marks, members, num_places(k))  # (rows, places), (rows,)
    ids = tf.minimum(ids, width - 1)
    is_marked = tf.range(num_places(k))[None, :] < total[:, None]
    keys = tf.where(is_marked, to_sortable(tf.gather(scores, ids, batch_dims=1)), LOWEST)
    return *counted_top_k(keys, ids, k), total > num_places(k)


def num_places(k: int) -> int:
    """Capacity for the scores that reach the bound: expected number plus four deviations."""
    return math.ceil((1.4 * k + 3.3 * math.sqrt(k)) / 8) * 8


def _split(keys, width):
    """Splits `(rows, m)` into parts of `width` columns, the last one padded."""
    parts = [keys[:, start : start + width] for start in range(0, keys.shape[1], width)]
    missing = width - parts[-1].shape[1]
    if missing:
        parts[-1] = tf.pad(parts[-1], [[0, 0], [0, missing]], constant_values=LOWEST)
    return parts


def _maximum(parts):
    highest = parts[0]
    for part in parts[1:]:
        highest = tf.maximum(highest, part)
    return highest


def _kth_largest(keys, k):
    positions = tf.range(keys.shape[1])[None, :]

    def count(ranks, start, column):
        # `a > b - 1` is `a >= b`: of equal keys, the earlier one comes first.
        is_before = column > keys - tf.cast(positions > start, tf.int32)
        return ranks + tf.cast(is_before, tf.int32)

    ranks = fold_columns(count, tf.zeros_like(keys), keys)
    return tf.reduce_max(tf.where(tf.equal(ranks, k - 1), keys, LOWEST), axis=1, keepdims=True)


def _marked_ids(marks, members, count_limit):
    """Lists the positions of the set bits: bit `b` of word `g` is id `b * groups + g`."""
    num_groups = marks.shape[1]
    counts = _count_bits(marks)
    triangle = tf.constant(np.triu(np.ones((num_groups, num_groups), "float32")))
    ends = tf.cast(tf.matmul(tf.cast(counts, tf.float32), triangle), tf.int32)
    position = tf.range(count_limit)[None, :]

    def count(groups, _, end):
        return groups + tf.cast(end <= position, tf.int32)

    none = tf.zeros([tf.shape(marks)[0], count_limit], tf.int32)
    groups = fold_columns(count, none, ends[:, :-1])
    # Start and marks of a group in one word, for a single look-up.
    word = tf.gather(marks + (ends - counts) * (1 << _WORD), groups, batch_dims=1)
    rank = position - tf.bitwise.right_shift(word, _WORD)
    bit = _select_bit(tf.bitwise.bitwise_and(word, (1 << _WORD) - 1), rank, members)
    return bit * num_groups + groups, ends[:, -1]


def _select_bit(words, ranks, members):
    """Position of the set bit with `rank` set bits below it, by halving."""
    position = tf.zeros_like(ranks)
    size = 1 << max(members - 1, 0).bit_length()
    while size > 1:
        size //= 2
        low = tf.bitwise.bitwise_and(words, (1 << size) - 1)
        below = _count_bits(low)
        is_above = ranks >= below
        position += tf.where(is_above, size, 0)
        words = tf.where(is_above, tf.bitwise.right_shift(words, size), low)
        ranks -= tf.where(is_above, below, 0)
    return position


def _count_bits(words):
    return tf.cast(tf.raw_ops.PopulationCount(x=words), tf.int32)
