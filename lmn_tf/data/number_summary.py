"""Mean, deviation, range and quantiles of numbers, in one pass and bounded memory."""

import math

import numpy as np

from lmn_tf.data.hashing import splitmix64

# Relative: sums of float64 are off by some units in the last place.
_ROUNDING = 16 * np.finfo(np.float64).eps


def is_constant(low: float, high: float) -> bool:
    """Returns whether the range of numbers is no wider than their rounding."""
    return high - low <= _ROUNDING * max(abs(low), abs(high))


class NumberSummary:
    """Summarises a stream of numbers.

    Mean and deviation are merged chunk by chunk (Chan, Golub, LeVeque 1983). Quantiles come from
    the `sample_size` numbers with the smallest hash of (seed, position): a uniform sample without
    replacement that depends on the data and the seed alone, exact where all numbers fit in; else
    a quantile's rank is off by about `0.5 / sqrt(sample_size)`, 0.14 % at the default. A deviation
    that is no more than the rounding of the numbers is given as 0, so that a constant column has
    none.

    Args:
        seed: Integer. Defaults to `0`.
        sample_size: Integer. Defaults to `131_072`.

    Example:

    >>> summary = NumberSummary()
    >>> summary.add(np.array([1.0, 2.0, 3.0, 4.0]))
    >>> summary.figures(quantiles=2)["quantiles"]
    [2.5]
    """

    def __init__(self, seed: int = 0, sample_size: int = 131_072):
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
        """Takes in finite float64 numbers."""
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
        places = np.arange(self.count, total, dtype=np.uint64)
        keys = splitmix64(places ^ self._salt)
        chosen = keys <= self._bar
        self._numbers = np.concatenate([self._numbers, numbers[chosen]])
        self._keys = np.concatenate([self._keys, keys[chosen]])
        if len(self._keys) > 2 * self._size:
            self._shrink()
        self.count = total

    def figures(self, quantiles: int | None = None) -> dict:
        """Returns `mean`, `std` (of the whole), `min`, `max`, `count`, and `quantiles`.

        Args:
            quantiles: Integer `n` or `None`: the `n - 1` boundaries of `n` equally full buckets.
                Defaults to `None`: none.
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
