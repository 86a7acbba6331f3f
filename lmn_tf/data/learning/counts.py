"""Counts of distinct values and summaries of numbers, in bounded memory."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.hashing import splitmix64
from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.source_location import SourceLocation

# Relative rounding error of sums in float64.
_ROUNDING = 16 * np.finfo(np.float64).eps
_PENDING = 1 << 20


class ValueCounter:
    """Counter of ids, exact up to `limit` distinct integers and as many texts.

    Beyond that, the rarer half of the values is dropped (frequent values are kept, with exact
    counts since they were last added), so that memory is limited for any data.

    Args:
        limit: Integer. Maximum number of distinct values. Defaults to 16,777,216.
    """

    def __init__(self, limit: int = 1 << 24) -> None:
        self._limit = limit
        self._integers = _Counts(pa.int64(), limit)
        self._texts = _Counts(pa.string(), limit)

    def add(
        self, values: pa.Array, location: SourceLocation, times: np.ndarray | None = None
    ) -> None:
        """Counts the values that are not missing.

        Args:
            values: Arrow array of ids, see `as_keys`.
            location: `SourceLocation` of the values.
            times: Integer array of the count of each value. Defaults to `None`: 1.

        Raises:
            UserError: If the values are not ids.
        """
        keys = as_keys(values, location)
        if not len(keys) or keys.null_count == len(keys):
            return
        if pa.types.is_dictionary(keys.type):
            distinct, counts = _count_coded(keys, times)
        else:
            distinct, counts = _count_plain(keys, times)
        counted = self._integers if pa.types.is_integer(distinct.type) else self._texts
        counted.add(distinct, counts)

    def most_frequent(self, min_count: int = 1, max_size: int | None = None) -> list:
        """Returns the values by descending count, and for equal counts by ascending value.

        They are integers in numerical order if all were given as integers; otherwise they are
        texts.
        """
        counted = self._texts
        if not self._texts.num_values:
            counted = self._integers
        elif self._integers.num_values:
            # An integer and its text are the same value.
            counted = _Counts(pa.string(), 2 * self._limit)
            for part in (self._integers.table(), self._texts.table()):
                counted.add(part["value"].cast(pa.string()), part["count"])
        table = counted.table()
        table = table.filter(pc.greater_equal(table["count"], min_count))
        return table["value"].take(_order(table)[:max_size]).to_pylist()


class _Counts:
    """Counts of distinct values of one type."""

    def __init__(self, kind, limit):
        self._limit = limit
        empty = {"value": pa.array([], kind), "count": pa.array([], pa.int64())}
        self._parts = [pa.table(empty)]
        self._rows = 0

    @property
    def num_values(self):
        """Number of values; parts that have not been merged may count a value twice."""
        return self._rows

    def add(self, distinct, counts):
        self._parts.append(pa.table({"value": distinct, "count": counts}))
        self._rows += len(distinct)
        if self._rows > _PENDING + self._parts[0].num_rows:
            self._merge()

    def table(self) -> pa.Table:
        self._merge()
        return self._parts[0]

    def _merge(self):
        table = pa.concat_tables(self._parts)
        table = table.group_by("value").aggregate([("count", "sum")])
        table = table.rename_columns({"count_sum": "count"})
        if table.num_rows > self._limit:
            table = table.take(_order(table)[: self._limit // 2])
        self._parts = [table]
        self._rows = table.num_rows


def _order(table):
    keys = [("count", "descending"), ("value", "ascending")]
    return pc.sort_indices(table, sort_keys=keys)


def _count_coded(keys, times):
    valid = keys.indices.drop_null().to_numpy()
    if times is not None and keys.null_count:
        times = times[pc.is_valid(keys).to_numpy(zero_copy_only=False)]
    counts = np.bincount(valid, weights=times, minlength=len(keys.dictionary)).astype(np.int64)
    met = np.flatnonzero(counts)
    return as_texts(keys.dictionary).take(pa.array(met)), pa.array(counts[met])


def _count_plain(keys, times):
    if times is None:
        counted = pc.value_counts(keys.drop_null())
        return counted.field("values"), counted.field("counts")
    table = pa.table({"value": keys, "count": np.asarray(times, np.int64)})
    table = table.filter(pc.and_(pc.is_valid(table["value"]), pc.greater(table["count"], 0)))
    table = table.group_by("value").aggregate([("count", "sum")]).combine_chunks()
    return table["value"].combine_chunks(), table["count_sum"].combine_chunks()


def is_constant(low: float, high: float) -> bool:
    """Returns whether the range of numbers is within rounding errors."""
    return high - low <= _ROUNDING * max(abs(low), abs(high))


class NumberSummary:
    """Statistics of a stream of numbers.

    Mean and deviation are merged chunk by chunk (Chan, Golub, LeVeque 1983). Quantiles come from
    the `sample_size` numbers with the smallest hash of (seed, position): a uniform sample without
    replacement that depends on the data and the seed only. They are exact if the sample has all
    numbers; otherwise the rank of a quantile has an error of about `0.5 / sqrt(sample_size)`,
    0.14 % by default. A deviation within the rounding error of the numbers is 0, as for constant
    columns.

    Args:
        seed: Integer. Defaults to `0`.
        sample_size: Integer. Defaults to `131_072`.

    Example:

    >>> summary = NumberSummary()
    >>> summary.add(np.array([1.0, 2.0, 3.0, 4.0]))
    >>> summary.figures(quantiles=2)["quantiles"]
    [2.5]
    """

    def __init__(self, seed: int = 0, sample_size: int = 131_072) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0
        self._low, self._high = math.inf, -math.inf
        self._size = sample_size
        self._salt = splitmix64(np.array([seed], np.uint64))[0]
        self._numbers = np.empty(0, np.float64)
        self._keys = np.empty(0, np.uint64)
        self._bar = np.uint64(0xFFFFFFFFFFFFFFFF)

    def add(self, numbers: np.ndarray) -> None:
        """Adds finite float64 numbers."""
        if not len(numbers):
            return
        mean = float(numbers.mean())
        squares = float(np.square(numbers - mean).sum())
        total = self.count + len(numbers)
        shift = mean - self._mean
        self._squares += squares + shift * shift * self.count * len(numbers) / total
        self._mean += shift * len(numbers) / total
        self._low = min(self._low, float(numbers.min()))
        self._high = max(self._high, float(numbers.max()))
        positions = np.arange(self.count, total, dtype=np.uint64)
        keys = splitmix64(positions ^ self._salt)
        chosen = keys <= self._bar
        self._numbers = np.concatenate([self._numbers, numbers[chosen]])
        self._keys = np.concatenate([self._keys, keys[chosen]])
        if len(self._keys) > 2 * self._size:
            self._shrink()
        self.count = total

    def figures(self, quantiles: int | None = None) -> dict:
        """Returns `mean`, `std` (of the population), `min`, `max`, `count`, and `quantiles`.

        Args:
            quantiles: Integer `n`, for the `n - 1` boundaries of `n` buckets of equal size.
                Defaults to `None`: no quantiles.
        """
        std = math.sqrt(max(self._squares / self.count, 0.0))
        if is_constant(self._low, self._high) or std <= _ROUNDING * self._largest:
            std = 0.0
        figures = {
            "count": self.count,
            "mean": self._low if self._low == self._high else self._mean,
            "std": std,
            "min": self._low,
            "max": self._high,
            "quantiles": [],
        }
        if quantiles is not None:
            if len(self._keys) > self._size:
                self._shrink()
            shares = np.arange(1, quantiles) / quantiles
            figures["quantiles"] = np.quantile(self._numbers, shares).tolist()
        return figures

    @property
    def _largest(self):
        return max(abs(self._low), abs(self._high))

    def _shrink(self):
        kept = np.argpartition(self._keys, self._size - 1)[: self._size]
        kept.sort()
        self._numbers, self._keys = self._numbers[kept], self._keys[kept]
        self._bar = self._keys.max()
