"""Transforms and buckets of numbers, and of times, within a graph."""

import numpy as np
import tensorflow as tf

from lmn_tf.data.encoding.arrow_values import LATEST_SECOND, MISSING_TIME, TIME_UNITS
from lmn_tf.data.encoding.elapsed_time import MICROSECONDS
from lmn_tf.data.encoding.number_encoder import NumberEncoder
from lmn_tf.serving.raw.checks import check_values
from lmn_tf.specs.columns import Column
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID, UNKNOWN_ID

_SECOND = 1_000_000  # times are microseconds
_LARGEST = np.finfo(np.float64).max
_FIRST_INT64 = np.iinfo(np.int64).min


class NumberSteps:
    """Transforms numbers as `NumberEncoder` does.

    Buckets are found by comparing the number as given with the smallest one that NumPy's steps take
    to the boundary. TensorFlow's own steps may round another way (its `log1p` does for a third of
    all numbers), and learned boundaries are values of the data, so that ties are common.

    Args:
        spec: `FeatureSpec` with all statistics.
        column: Feature or resolved field of kind numeric.

    Raises:
        UserError: If the statistics have not been learned.
    """

    def __init__(self, spec: FeatureSpec, column: Column) -> None:
        statistics = spec.assets.statistics.get(column.key)
        if column.needs_statistics and not statistics:
            raise UserError(
                f"the statistics of `{column.name}` must be learned from training data first."
            )
        self._column = column
        encoder = NumberEncoder(column.name, column.transform, statistics, column.default)
        self._steps = encoder.steps
        self._boundaries = None
        if encoder.boundaries is not None:
            limits = np.concatenate([[-_LARGEST], encoder.boundaries, [np.inf]])
            self._low, *self._boundaries, self._high = smallest_reaching(encoder.steps, limits)

    def __call__(self, numbers: tf.Tensor) -> tf.Tensor:
        """Returns float32 numbers, or int32 ids after `bucketize`.

        Args:
            numbers: float64 tensor of shape `(values,)`, NaN where missing.
        """
        column, missing = self._column, tf.math.is_nan(numbers)
        if column.default is not None:
            given = tf.where(missing, tf.constant(column.default, tf.float64), numbers)
        elif self._boundaries is None:
            rule = f"a number must be given, or `{column.name}` a `default`"
            check_values(~missing, column.data_column, rule, numbers)
            given = numbers
        else:
            given = numbers
        if self._boundaries is None:
            return self._transformed(given)
        empty = tf.math.is_nan(given)
        good = empty | ((given >= self._low) & (given < self._high))
        check_values(
            good, column.data_column, "the number must be finite after its transform", given
        )
        boundaries = tf.constant(self._boundaries, tf.float64)
        ids = FIRST_ID + tf.searchsorted(boundaries, given, side="right", out_type=tf.int32)
        return tf.where(empty, UNKNOWN_ID, ids)

    def _transformed(self, given):
        numbers = given
        for step, offset, scale in self._steps:
            if step == "log1p":
                numbers = tf.math.log1p(numbers)
            else:
                # TensorFlow replaces a division by a constant with a product, which rounds
                # another way; it leaves this one alone.
                moved = numbers - tf.constant(offset, tf.float64)
                numbers = tf.math.divide_no_nan(moved, tf.constant(scale, tf.float64))
        cast = tf.cast(numbers, tf.float32)
        rule = "the number, after its transform, must be finite as float32 (up to 3.4e38)"
        check_values(tf.math.is_finite(cast), self._column.data_column, rule, given)
        return cast


def smallest_reaching(steps: list, limits: np.ndarray) -> np.ndarray:
    """Returns for each limit the smallest number that the steps take to it or beyond.

    Args:
        steps: List of resolved steps of a `NumberEncoder`.
        limits: float64 array.

    Returns:
        float64 array; infinity where no number reaches the limit.

    Example:

    >>> smallest_reaching([("min_max", 1.0, 2.0)], np.array([1.0, 3.0])).tolist()
    [3.0, 7.0]
    """
    low = np.full(len(limits), _order(-_LARGEST) - 1)
    high = np.full(len(limits), _order(np.inf))
    with np.errstate(all="ignore"):
        while (low + 1 < high).any():
            middle = (low >> 1) + (high >> 1) + (low & high & 1)
            numbers = _number(middle)
            for step, offset, scale in steps:
                numbers = np.log1p(numbers) if step == "log1p" else (numbers - offset) / scale
            reached = numbers >= limits
            high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return _number(high)


def _order(number):
    """An integer for each float64, in their order."""
    bits = np.float64(number).view(np.int64)
    return bits if bits >= 0 else _FIRST_INT64 - bits


def _number(order):
    return np.where(order >= 0, order, _FIRST_INT64 - order).view(np.float64)


def to_times(numbers: tf.Tensor, unit: str, column: str) -> tf.Tensor:
    """Returns times as int64 microseconds, and `MISSING_TIME` for missing ones.

    Args:
        numbers: float64 tensor of times in the unit, counted from 1970, NaN where missing; int64
            for nanoseconds, with the least int64 where missing.
        unit: String. A key of `TIME_UNITS`.
        column: String. Name of the data column.
    """
    if numbers.dtype == tf.int64:
        return tf.where(numbers == MISSING_TIME, numbers, numbers // 1_000)
    missing = tf.math.is_nan(numbers)
    rule = f"a time must count {unit}s since 1970"
    latest = float(LATEST_SECOND * TIME_UNITS[unit])
    check_values(missing | (tf.abs(numbers) <= latest), column, rule, numbers)
    numbers = tf.where(missing, tf.zeros_like(numbers), numbers)
    times = tf.math.rint(numbers * (_SECOND / TIME_UNITS[unit]))
    return tf.where(missing, tf.constant(MISSING_TIME, tf.int64), tf.cast(times, tf.int64))


def elapsed_ids(request: tf.Tensor, event: tf.Tensor, column: Column) -> tf.Tensor:
    """Returns the buckets of the time between events and their requests; 1 where unknown.

    Args:
        request: int64 tensor of microseconds, as of `to_times`.
        event: int64 tensor that broadcasts with it.
        column: Feature or resolved field of kind elapsed_time.

    Returns:
        int32 tensor of shape `(values,)`.
    """
    later = event > request  # a missing time is the lowest number
    rule = "an event must not be later than its request, which must have a time"
    check_values(~later, column.data_column, rule, event + tf.zeros_like(request))
    unit = MICROSECONDS[column.unit]
    # A power of two times the unit is a float64, so comparisons are exact where divisions are not.
    starts = [float(unit * 2**power) for power in range(column.num_buckets - 1)]
    starts = [start for start in starts if start < 2.0**63] or [np.inf]
    elapsed = tf.cast(request - event, tf.float64)
    ids = FIRST_ID + tf.searchsorted(
        tf.constant(starts, tf.float64), elapsed, side="right", out_type=tf.int32
    )
    return tf.where((event == MISSING_TIME) | (request == MISSING_TIME), UNKNOWN_ID, ids)
