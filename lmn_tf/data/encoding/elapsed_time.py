"""Time between an event and the request, in exponential buckets."""

import numpy as np

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.lookup import FIRST_ID, UNKNOWN_ID

_BLOCK = 1 << 14

MICROSECONDS = {
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}


def elapsed_ids(request: np.ndarray, event: np.ndarray, unit: str, num_buckets: int) -> np.ndarray:
    """Returns `2 + min(bit_length(floor(elapsed / unit)), num_buckets - 1)`, 1 where unknown.

    `[0, 1)` is bucket 0, `[1, 2)` bucket 1, `[2, 4)` bucket 2, `[2^k, 2^(k+1))` bucket `k + 1`.

    Args:
        request: int64 microseconds; a shape that broadcasts with `event`.
        event: int64 microseconds not after `request`, or `MISSING_TIME` if unknown.
        unit: `"second"`, `"minute"`, `"hour"` or `"day"`.
        num_buckets: Integer. Number of buckets; the last one includes all longer times.

    Returns:
        int32 array.

    Reference: "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
    Systems", equation 1.

    Example:

    >>> times = -1_000_000 * np.array([0, 1, 2, 3, 4, 1023, 1024])
    >>> elapsed_ids(np.int64(0), times, "second", 32).tolist()
    [2, 3, 4, 4, 5, 12, 13]
    """
    if event.ndim == 1 and len(event) > _BLOCK:
        return _by_blocks(request, event, unit, num_buckets)
    with np.errstate(over="ignore"):
        elapsed = np.subtract(request, event).astype(np.float64)
    elapsed /= MICROSECONDS[unit]
    # The exponent bits of a float64 are exact at the powers of two, where a logarithm is not.
    bits = elapsed.view(np.int64)
    bits >>= 52
    bits -= 1020
    np.clip(bits, FIRST_ID, num_buckets + FIRST_ID - 1, out=bits)
    ids = bits.astype(np.int32)
    missing = event == MISSING_TIME
    missing |= request == MISSING_TIME
    if missing.any():
        ids[missing] = UNKNOWN_ID
    return ids


def _by_blocks(request, event, unit, num_buckets):
    """Computes the buckets in blocks, whose intermediate arrays fit the processor's cache."""
    ids = np.empty(len(event), np.int32)
    request = np.broadcast_to(request, event.shape)
    for start in range(0, len(event), _BLOCK):
        part = slice(start, start + _BLOCK)
        ids[part] = elapsed_ids(request[part], event[part], unit, num_buckets)
    return ids


def check_elapsed(request: np.ndarray, event: np.ndarray, location: SourceLocation) -> None:
    """Raises a `UserError` if an event is later than its request, which would leak the future.

    This includes events of requests without a time.
    """
    later = event > request  # a missing time is the lowest number
    if later.any():
        at = int(np.argmax(later))
        if np.broadcast_to(request, event.shape)[at] == MISSING_TIME:
            raise location.error(
                at,
                "a row whose events have times must have a request time (otherwise events after "
                "the request could not be detected)",
                None,
            )
        ahead = (int(event[at]) - int(request[at])) / MICROSECONDS["second"]
        raise location.error(
            at,
            "an event must not be later than the request time (the future would leak in)",
            f"{ahead:g} seconds later",
        )
