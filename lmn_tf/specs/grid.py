"""Grids of settings: dotted keys with their possible values; and a single key that is varied."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import pydantic

from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.optimizer import OPTIMIZERS
from lmn_tf.specs.pipeline_spec import check_rows
from lmn_tf.specs.train import Train
from lmn_tf.specs.yaml.section import Problem, Text, known_keys

ROWS = "data.train_rows"  # which `vary` takes beside the keys of a grid
_PARTS = ("model", "train")
_FIXED = {
    "train.seed": "the seeds of the comparison",
    "train.checkpoint_steps": "the pipeline, as it changes no result",
    "train.deterministic": "the pipeline",
    "train.tensorboard": "the pipeline",
}


def _check(grid):
    for key, values in grid.items():
        _check_key(key)
        identities = set()
        for index, value in enumerate(values):
            if isinstance(value, float) and not math.isfinite(value):
                raise Problem((key, index), f"must be a finite number. Received: {key}={value}")
            identity = _identity(value)
            if identity in identities:
                raise Problem(
                    (key, index), f"values must differ. Received: {key}={short(value)} twice"
                )
            identities.add(identity)
    for inner, outer in overlaps(grid):
        raise Problem((inner,), f"`{inner}` must not be in the grid beside `{outer}`.")
    return grid


def _check_key(key):
    parts = key.split(".")
    if len(parts) < 2 or not all(parts) or parts[0] not in _PARTS:
        raise Problem(
            (key,),
            "a key of a grid must be `model.OPTION` or `train.KEY`. "
            f"Received: {short(key)}.{did_you_mean(parts[0], _PARTS)}",
        )
    if key in _FIXED:
        raise Problem((key,), f"`{key}` must be left to {_FIXED[key]}.")
    if parts[0] == "model" and (len(parts) > 2 or parts[1] == "name"):
        raise Problem((key,), f"`{key}` must name an option of models, as `model.dropout` does.")
    for depth in range(1, len(parts) if parts[0] == "train" else 0):
        known = known_keys(Train, parts[1:depth])
        if known and parts[depth] not in known:
            owner = ".".join(parts[:depth])
            raise Problem(
                (key,),
                f"unknown key `{parts[depth]}` in `{owner}`.{did_you_mean(parts[depth], known)}",
            )
    if parts[:2] == ["train", "optimizer"] and len(parts) > 3:
        try:
            OPTIMIZERS.path(parts[3], ".".join(parts[:3]))
        except UserError as error:
            raise Problem((key,), error.message) from None


def _identity(value):
    """Returns a value that is the same for equal settings: 1 and 1.0 are equal, 1 and true not."""
    if isinstance(value, dict):
        return dict, frozenset((key, _identity(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return list, tuple(map(_identity, value))
    return isinstance(value, bool), value


Key = Annotated[Text, pydantic.Field(max_length=1000)]
Values = Annotated[tuple[Any, ...], pydantic.Field(min_length=1)]
Grid = Annotated[
    dict[Key, Values],
    pydantic.AfterValidator(_check),
    pydantic.Field(json_schema_extra={"propertyNames": {"pattern": r"^(model|train)\.."}}),
]


def overlaps(grid: Collection[str]) -> list[tuple[str, str]]:
    """Returns the pairs of a key and another key that contains it; both would set the same value.

    Example:

    >>> overlaps(["train.optimizer.dense.adam", "train.optimizer.dense", "train.epochs"])
    [('train.optimizer.dense.adam', 'train.optimizer.dense')]
    """
    pairs = []
    for inner in grid:
        dots = [index for index, character in enumerate(inner) if character == "."]
        pairs += [(inner, inner[:dot]) for dot in dots if inner[:dot] in grid]
    return pairs


def size(grid: Mapping[str, Sequence[Any]]) -> int:
    """Returns the number of configurations of a grid.

    Example:

    >>> size({"model.dropout": (0, 0.2), "train.epochs": (1, 2, 3)})
    6
    """
    count = 1
    for values in grid.values():
        count *= len(values)
    return count


def configuration(grid: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    """Returns one configuration of a grid: each key with one of its values.

    Args:
        grid: Mapping from key to values.
        number: Integer from 0 to `size(grid) - 1`.

    Example:

    >>> configuration({"model.dropout": (0, 0.2), "train.epochs": (1, 2, 3)}, 4)
    {'model.dropout': 0.2, 'train.epochs': 2}
    """
    chosen = {}
    for key in reversed(grid):
        number, index = divmod(number, len(grid[key]))
        chosen[key] = grid[key][index]
    return {key: chosen[key] for key in grid}


def _check_vary(vary):
    if len(vary) != 1:
        raise Problem((), f"must have one key. Received: {', '.join(vary) or 'none'}")
    [(key, values)] = vary.items()
    if key == ROWS:
        _check_rows(values)
    elif key.startswith(("model.", "train.")):
        _check(vary)
    else:
        raise Problem(
            (key,),
            f"the key of `vary` must be `{ROWS}`, `model.OPTION` or `train.KEY`. "
            f"Received: {short(key)}.{did_you_mean(key, [ROWS])}",
        )
    if len(values) < 2:
        raise Problem((key,), f"must be a list of 2 or more. Received: {len(values)}")
    return vary


def _check_rows(values):
    known = set()
    for index, value in enumerate(values):
        try:
            check_rows(value)
        except Problem as problem:
            raise Problem((ROWS, index), problem.message) from None
        if isinstance(value, str) != isinstance(values[0], str):
            raise Problem(
                (ROWS, index),
                f"must be a share like the first value, {short(values[0])}, or both a number. "
                f"Received: {short(value)}",
            )
        if value in known:
            raise Problem((ROWS, index), f"must differ from the others. Received: {short(value)}")
        known.add(value)


def named_value(key: str, value: Any) -> str:
    """Returns a value with the last part of its key.

    Args:
        key: String. Key of `vary`.
        value: One of its values.

    Example:

    >>> named_value("model.num_keys", 100), named_value("data.train_rows", "5%")
    ('num_keys=100', 'train_rows=5%')
    """
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{key.rpartition('.')[2]}={text}"


Vary = Annotated[
    dict[Key, Values],
    pydantic.AfterValidator(_check_vary),
    pydantic.Field(
        json_schema_extra={
            "propertyNames": {"pattern": r"^(data\.train_rows$|(model|train)\..)"},
            "minProperties": 1,
            "maxProperties": 1,
        }
    ),
]
