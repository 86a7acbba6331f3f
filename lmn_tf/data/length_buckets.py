"""Rounds history lengths up, so that only a few batch shapes occur."""

import functools


@functools.cache
def length_buckets(max_length: int) -> tuple[int, ...]:
    """Returns the padded lengths that batches may have: 8, 12, 16, 24, 32, ... and `max_length`.

    Powers of two and one and a half times them: padding adds at most a half to the longest
    history, and a compiled function sees few shapes.

    Args:
        max_length: Integer. Longest history that a spec keeps.

    Example:

    >>> length_buckets(50)
    (8, 12, 16, 24, 32, 48, 50)
    """
    lengths = []
    power = 8
    while power < max_length:
        lengths += [power, power + power // 2]
        power *= 2
    return tuple(length for length in lengths if length < max_length) + (max_length,)


def round_up(length: int, max_length: int) -> int:
    """Returns the smallest bucket that holds `length`.

    Example:

    >>> round_up(13, 50)
    16
    """
    return next(bucket for bucket in length_buckets(max_length) if bucket >= length)
