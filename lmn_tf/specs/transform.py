"""Transforms of numbers: steps that are applied in order."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from lmn_tf.specs.bucketize import Bucketize
from lmn_tf.specs.errors import did_you_mean, short
from lmn_tf.specs.min_max import MinMax
from lmn_tf.specs.section import Problem

STEPS = ("standardize", "log1p", "min_max", "bucketize")
_WITH_VALUES = ("min_max", "bucketize")


def _step_name(step):
    """Returns the name of a step that is written as a name, as a mapping, or as a section."""
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


def to_steps(value):
    """Returns a transform (one step, or a list of steps) as a tuple of steps whose names are known.

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
    """Lets the JSON Schema of a list accept its only item as well, as `to_steps` does."""

    def __get_pydantic_json_schema__(self, schema, handler):
        many = handler(schema)
        return {"anyOf": [many["items"], many]}


Transform = Annotated[tuple[Step, ...], BeforeValidator(to_steps), _OneOrMany()]
