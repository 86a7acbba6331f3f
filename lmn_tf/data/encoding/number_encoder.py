"""Encoding of numbers: transforms and buckets."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import as_float32, as_numbers
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.learning.counts import is_constant
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.lookup import FIRST_ID, UNKNOWN_ID
from lmn_tf.specs.transform import Bucketize, MinMax


class NumberEncoder:
    """Encoder of numeric columns by the steps of a transform.

    Learned statistics are those of the input of the first learned step, after the steps before it;
    later steps also transform the statistics. A missing number is replaced by `default` before the
    first step. Without a default it is an error, except that `bucketize` maps it to id 1 (our
    choice).

    Args:
        name: String. Name of the feature or field.
        transform: Tuple of steps.
        statistics: Mapping of learned statistics, or `None` if no step needs them.
        default: Number for missing cells. Defaults to `None`.

    Attributes:
        steps: List of resolved steps `(name, offset, scale)`, without `bucketize`.
        boundaries: float64 array of the boundaries of `bucketize`, or `None`.
        encoded_range: Pair, the smallest and the largest number of the training data after all
            steps but `bucketize`; or `None` if no step is learned.
    """

    def __init__(
        self,
        name: str,
        transform: tuple,
        statistics: Mapping[str, Any] | None = None,
        default: float | None = None,
    ) -> None:
        self.name = name
        self.default = default
        self.steps, self.boundaries, self.encoded_range = _resolve(
            name, transform, dict(statistics or {})
        )

    def encode(self, values: pa.Array, location: SourceLocation) -> np.ndarray:
        """Returns float32 numbers, or int32 ids after `bucketize`.

        Args:
            values: Arrow array.
            location: `SourceLocation` of the values.

        Raises:
            UserError: If a value is not a number, missing without a default, or not finite (as
                given, after the transform, or as float32).
        """
        numbers = as_numbers(values, location)
        given, missing = self.fill(numbers, location)
        numbers = given
        for step, offset, scale in self.steps:
            numbers = apply_step(numbers, step, offset, scale, location)
        if self.boundaries is None:
            return as_float32(numbers, location, "the number, after its transform,", given)
        finite = np.isfinite(numbers)
        if not finite.all():
            at = int(np.argmin(finite))
            raise location.error(
                at, "the number must be finite after its transform", float(given[at])
            )
        ids = np.searchsorted(self.boundaries, numbers, side="right").astype(np.int32) + FIRST_ID
        return ids if missing is None else np.where(missing, np.int32(UNKNOWN_ID), ids)

    def decode(self, number: float) -> float:
        """Returns the number of the data that is encoded as `number`, without `bucketize`."""
        for step, offset, scale in reversed(self.steps):
            number = math.expm1(number) if step == "log1p" else number * scale + offset
        return number

    def fill(
        self, numbers: np.ndarray, location: SourceLocation
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the numbers without NaN, and a mask of missing ones or `None`."""
        finite = np.isfinite(numbers)
        if finite.all():
            return numbers, None
        missing = np.isnan(numbers)
        if not (finite | missing).all():
            at = int(np.argmax(~(finite | missing)))
            raise location.error(at, "the number must be finite", float(numbers[at]))
        if self.default is not None:
            return np.where(missing, float(self.default), numbers), None
        if self.boundaries is None:
            at = int(np.argmax(missing))
            rule = f"a number must be given, or `{self.name}` a `default`"
            raise location.error(at, rule, "no value (null or NaN)")
        return np.where(missing, 0.0, numbers), missing


def leading_steps(transform: tuple) -> list:
    """Returns the resolved steps before the first learned one, the input of statistics."""
    steps = []
    for step in transform:
        if step in ("standardize", "min_max") or isinstance(step, Bucketize):
            break
        steps.append(_given(step))
    return steps


def apply_step(
    numbers: np.ndarray, step: Any, offset: float, scale: float, location: SourceLocation
) -> np.ndarray:
    """Returns the numbers after one resolved step: `log1p`, or `(x - offset) / scale`.

    Raises:
        UserError: If `log1p` is applied to a number of -1 or less.
    """
    if step != "log1p":
        with np.errstate(over="ignore"):  # numbers that are not finite are reported with their row
            return (numbers - offset) / scale
    if len(numbers) and numbers.min() <= -1:
        at = int(np.argmin(numbers))
        raise location.error(at, "a number must be above -1 for log1p", float(numbers[at]))
    return np.log1p(numbers)


def _given(step):
    if isinstance(step, MinMax):
        low, high = map(float, step.min_max)
        return "min_max", low, high - low
    return step, 0.0, 1.0


def _resolve(name, transform, figures):
    """Returns the steps as (name, offset, scale), the boundaries of `bucketize`, and the range."""
    steps, boundaries, learned = [], None, False
    for step in transform:
        if isinstance(step, Bucketize):
            values = figures["quantiles"] if step.learned else step.bucketize
            boundaries = np.asarray(values, np.float64)
            continue
        if step == "standardize":
            if "mean" not in figures:
                raise UserError(
                    f"`standardize` of `{name}` must not follow a learned step and `log1p`. "
                    f"Received: transform={list(transform)!r}"
                )
            # A constant column has a deviation of 0, and becomes 0.
            steps.append((step, figures["mean"], figures["std"] or 1.0))
        elif step == "min_max":
            low, high = figures["min"], figures["max"]
            steps.append((step, low, 1.0 if is_constant(low, high) else high - low))
        else:
            steps.append(_given(step))
        learned = learned or step in ("standardize", "min_max")
        if learned:
            figures = _carried(figures, *steps[-1])
    return steps, boundaries, (figures["min"], figures["max"]) if learned else None


def _carried(figures, step, offset, scale):
    """Returns the learned statistics after a step."""
    if step == "log1p":
        carried = {key: float(np.log1p(figures[key])) for key in ("min", "max")}
        carried["quantiles"] = np.log1p(figures.get("quantiles", ()))
        return carried
    moved = [key for key in ("mean", "min", "max") if key in figures]
    carried = {key: (figures[key] - offset) / scale for key in moved}
    carried["std"] = figures.get("std", 0.0) / scale
    carried["quantiles"] = (np.asarray(figures.get("quantiles", ())) - offset) / scale
    return carried
