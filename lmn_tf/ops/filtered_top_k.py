"""Exact top-k of many short rows by counting instead of sorting, for XLA on CPUs."""

import math

import numpy as np
import tensorflow as tf

from lmn_tf.ops.counted_top_k import counted_top_k, fold_columns
from lmn_tf.ops.sortable import LOWEST, to_sortable

_WORD = 16  # members of a group: their marks share an int32 with the places before the group


def filtered_top_k(scores, k):
    """Finds the `k` largest of each row, or says that a row is left to another way.

    A heap, which is what `tf.math.top_k` builds for each row, mispredicts a
    branch at every push. Here each step is arithmetic on whole vectors:

    1. *Filter.* The `k`-th largest of some `2 * k` group maxima is a bound that
       at least `k` scores reach, and about `1.4 * k` do.
    2. *Compact.* The scores that reach the bound are marked, one bit each, one
       word a group, and the `p`-th mark of the row is looked up for each `p`.
    3. *Rank.* Each of the few that are left counts how many come before it.

    Where more scores reach the bound than there are places (one row in
    thousands, or any row of equal scores), the row is reported instead.

    Args:
        scores: Float32 tensor of shape `(rows, m)`, with `m` static.
        k: Integer, at most half of `m`.

    Returns:
        Tuple `(keys, ids, is_left)`: int32 `(rows, k)` scores in the form of
        `to_sortable`, best first and lowest id first among equals; int32
        `(rows, k)` ids; and boolean `(rows,)`, true where keys and ids are not
        to be used.
    """
    width = scores.shape[1]
    members = min(_WORD, -(-width // (2 * k)))
    num_groups = -(-width // members)
    parts = _split(to_sortable(scores), num_groups)
    maxima = _maximum(parts)
    bound = _kth_largest(_maximum(_split(maxima, 2 * k)) if num_groups > 2 * k else maxima, k)
    marks = tf.add_n(
        [tf.cast(part >= bound, tf.int32) * (1 << place) for place, part in enumerate(parts)]
    )
    ids, total = _marked_ids(marks, members, num_places(k))
    ids = tf.minimum(ids, width - 1)
    is_marked = tf.range(num_places(k))[None, :] < total[:, None]
    keys = tf.where(is_marked, to_sortable(tf.gather(scores, ids, batch_dims=1)), LOWEST)
    return *counted_top_k(keys, ids, k), total > num_places(k)


def num_places(k):
    """Places for the scores that reach the bound: their expected number and four deviations."""
    return math.ceil((1.4 * k + 3.3 * math.sqrt(k)) / 8) * 8


def _split(keys, width):
    """Cuts `(rows, m)` into parts of `width` columns, the last one filled up."""
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
        # `a > b - 1` is `a >= b`: among equals the one before comes first.
        is_before = column > keys - tf.cast(positions > start, tf.int32)
        return ranks + tf.cast(is_before, tf.int32)

    ranks = fold_columns(count, tf.zeros_like(keys), keys)
    return tf.reduce_max(tf.where(tf.equal(ranks, k - 1), keys, LOWEST), axis=1, keepdims=True)


def _marked_ids(marks, members, places):
    """Lists the positions of the set bits: bit `b` of word `g` is id `b * groups + g`."""
    num_groups = marks.shape[1]
    counts = _count_bits(marks)
    triangle = tf.constant(np.triu(np.ones((num_groups, num_groups), "float32")))
    ends = tf.cast(tf.matmul(tf.cast(counts, tf.float32), triangle), tf.int32)
    place = tf.range(places)[None, :]

    def count(groups, _, end):
        return groups + tf.cast(end <= place, tf.int32)

    none = tf.zeros([tf.shape(marks)[0], places], tf.int32)
    groups = fold_columns(count, none, ends[:, :-1])
    # Start and marks of a group in one word, for one look-up.
    word = tf.gather(marks + (ends - counts) * (1 << _WORD), groups, batch_dims=1)
    rank = place - tf.bitwise.right_shift(word, _WORD)
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
