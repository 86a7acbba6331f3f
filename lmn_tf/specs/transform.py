"""Transforms of numbers."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from lmn_tf.specs.errors import did_you_mean, short
from lmn_tf.specs.lookup import FIRST_ID
from lmn_tf.specs.yaml.section import Number, Problem, section

STEPS = ("standardize", "log1p", "min_max", "bucketize")
_WITH_VALUES = ("min_max", "bucketize")


@section
class Quantiles:
    """Boundaries at learned quantiles, so that buckets hold about the same number of rows.

    Args:
        quantiles: Integer `n >= 2`. Number of buckets: `n - 1` boundaries are learned, and the
            column has `n + 2` ids. (Equal boundaries give empty buckets, but not fewer ids.)
    """

    quantiles: Annotated[int, Field(strict=True, ge=2, le=1_000_000)]


@section
class Bucketize:
    """Maps a number to the id of its bucket.

    With boundaries `b_1 < ... < b_n`, a value `x` is in bucket `#{i : b_i <= x}`, one of `0..n`,
    and bucket `j` has id `j + 2`.

    Args:
        bucketize: Tuple of increasing boundaries, or `Quantiles`.
    """

    bucketize: Annotated[tuple[Number, ...], Field(min_length=1)] | Quantiles

    @model_validator(mode="after")
    def _check(self):
        if isinstance(self.bucketize, Quantiles):
            return self
        for index, (left, right) in enumerate(
            zip(self.bucketize, self.bucketize[1:], strict=False)
        ):
            if not left < right:
                raise Problem(
                    ("bucketize", index + 1),
                    f"boundaries of `bucketize` must increase. Received: {left:g}, {right:g}",
                )
        return self

    @property
    def learned(self) -> bool:
        """Whether the boundaries are learned from the training data."""
        return isinstance(self.bucketize, Quantiles)

    @property
    def size(self) -> int:
        """Number of ids, including the two reserved ones."""
        if self.learned:
            return self.bucketize.quantiles + FIRST_ID
        return len(self.bucketize) + 1 + FIRST_ID


@section
class MinMax:
    """Scales `[low, high]` to `[0, 1]`: `(x - low) / (high - low)`.

    Args:
        min_max: Pair of numbers `(low, high)`, `low < high`.
    """

    min_max: tuple[Number, Number]

    @model_validator(mode="after")
    def _check(self):
        if not self.min_max[0] < self.min_max[1]:
            raise Problem(
                ("min_max",),
                f"`min_max` must be [low, high] with low < high. Received: {list(self.min_max)}",
            )
        if not math.isfinite(self.min_max[1] - self.min_max[0]):
            raise Problem(
                ("min_max",),
                "`min_max` must be [low, high] whose difference is finite."
                f" Received: {list(self.min_max)}",
            )
        return self


def _step_name(step):
    """Returns the name of a step, which is given as a name, a mapping or a section."""
    if isinstance(step, MinMax):
        return "min_max"
    if isinstance(step, Bucketize):
        return "bucketize"
    if isinstance(step, dict) and len(step) == 1:
        return next(iter(step))
    return step


def _step_kind(step):
    return "named" if isinstance(step, str) else _step_name(step)


Step = Annotated[
    Annotated[Literal["standardize", "log1p", "min_max"], Tag("named")]
    | Annotated[MinMax, Tag("min_max")]
    | Annotated[Bucketize, Tag("bucketize")],
    Discriminator(_step_kind),
]


def _check_step(step, path):
    name = _step_name(step)
    if not isinstance(name, str):
        raise Problem(
            path,
            "each step of `transform` must be a name or one `name: values`."
            f" Received: {short(step)}",
        )
    if name not in STEPS:
        raise Problem(
            path,
            f"each step of `transform` must be one of {', '.join(f'`{s}`' for s in STEPS)}."
            f" Received: {short(name)}.{did_you_mean(name, STEPS)}",
        )
    if isinstance(step, str) and name == "bucketize":
        raise Problem(path, "`bucketize` must have boundaries or `quantiles`. Received: nothing")
    if isinstance(step, dict) and name not in _WITH_VALUES:
        raise Problem(path, f"`{name}` must have no values. Received: {short(step[name])}")


def to_steps(value: Any) -> tuple[Any, ...]:
    """Returns a transform (a step or a list of steps) as a tuple, and checks the names of steps.

    Example:

    >>> to_steps("log1p")
    ('log1p',)
    """
    if not isinstance(value, (list, tuple)):
        _check_step(value, ())
        return (value,)
    for index, step in enumerate(value):
        _check_step(step, (index,))
    for index, step in enumerate(value[:-1]):
        if _step_name(step) == "bucketize":
            raise Problem((index,), "`bucketize` must be the last step of `transform`.")
    return tuple(value)


class _OneOrMany:
    """Makes the JSON Schema of a list also accept a single item, as `to_steps` does."""

    def __get_pydantic_json_schema__(self, schema, handler):
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Transform = Annotated[tuple[Step, ...], BeforeValidator(to_steps), _OneOrMany()]
