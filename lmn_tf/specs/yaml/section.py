"""Sections of YAML files: strict scalar types, frozen records, conversion to plain data."""

import dataclasses
import math
import os
import pathlib
import re
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from lmn_tf.specs.errors import short

MAX_IDS = 2**31 - 3  # ids are int32, and two of them are reserved
NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"

_Record = TypeVar("_Record")

_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def known_keys(cls: type, path: Iterable[str | int]) -> list[str]:
    """Returns the valid keys at a path of a section.

    Example:

    >>> from lmn_tf.specs.columns import Feature
    >>> known_keys(Feature, ("lookup", "learn"))
    ['min_count', 'max_size']
    """
    kinds = [cls]
    for part in path:
        kinds = [below for kind in kinds for below in _step(kind, part)]
    sections = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    return list(dict.fromkeys(f.name for kind in sections for f in dataclasses.fields(kind)))


def _step(kind, part):
    """Returns the possible types at the key or index `part` of the type `kind`."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return _branches(hints[part]) if part in hints else []
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict:
        return _branches(args[1])
    if origin is tuple:
        items = [branch for arg in args if arg is not Ellipsis for branch in _branches(arg)]
        if isinstance(part, int):
            return items
        # A list that may be given as a single item, such as a transform.
        return [below for item in items for below in _step(item, part)]
    return []


def _branches(kind):
    """Returns the members of a union, unpacked."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _branches(args[0])
    if origin in (typing.Union, types.UnionType):
        return [branch for arg in args for branch in _branches(arg)]
    return [kind]


class Problem(ValueError):
    """A broken rule at a path within a section; parsing a file converts it to a `UserError`.

    Args:
        path: Tuple of keys and indices, relative to the section that raises.
        message: String. The whole sentence.
    """

    def __init__(self, path: Iterable[str | int], message: str) -> None:
        super().__init__(message)
        self.path = tuple(path)
        self.message = message


def section(cls: type[_Record]) -> type[_Record]:
    """Makes a class a frozen record that refuses unknown keys and values of other types."""
    return dataclass(frozen=True, kw_only=True, config=_CONFIG)(cls)


def version_one(value: Any) -> int:
    """Returns `value` if it is the integer 1, the version of all kinds of files."""
    if value != 1 or type(value) is not int:
        raise Problem((), f"must be 1, the only version there is. Received: {value!r}")
    return value


def expanded(text: str) -> str:
    """Replaces `${NAME}` and `${NAME:-default}` by environment variables."""

    def value(match):
        name, default = match.groups()
        variable = os.environ.get(name)
        if variable:
            return variable
        if default is not None:
            return default
        raise Problem((), f"needs the environment variable {name}, which is not set")

    if "\0" in text:  # An environment variable cannot hold one.
        raise Problem((), f"must be a path without a zero byte. Received: {short(text)}")
    return _VARIABLE.sub(value, text)


def _finite(options, path=()):
    """Refuses NaN and infinity at any depth of options whose keys are checked elsewhere."""
    items = options.items() if isinstance(options, dict) else enumerate(options)
    for key, value in items:
        if isinstance(value, float) and not math.isfinite(value):
            raise Problem((*path, key), f"must be a finite number. Received: {key}={value}")
        if isinstance(value, (dict, list, tuple)):
            _finite(value, (*path, key))
    return options


Text = Annotated[str, Field(strict=True, min_length=1)]
AnyText = Annotated[str, Field(strict=True)]
Name = Annotated[str, Field(strict=True, pattern=NAME_PATTERN, max_length=100)]
Date = Annotated[
    str, Field(strict=True, pattern=DATE_PATTERN, json_schema_extra={"format": "date"})
]
# No system has longer paths; expanded paths are checked by the file system.
PathText = Annotated[Text, Field(max_length=4096), AfterValidator(expanded)]
Flag = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), le=2**63 - 1)]
Natural = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
Positive = Annotated[int, Field(strict=True, ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(strict=True, ge=1, le=MAX_IDS)]
Number = Annotated[float, Field(strict=True)]
NonNegative = Annotated[float, Field(strict=True, ge=0)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0)]
Version = Annotated[int, BeforeValidator(version_one), Field(json_schema_extra={"const": 1})]
Options = Annotated[dict[Text, Any], AfterValidator(_finite)]


def to_plain(value: Any) -> Any:
    """Converts a value to plain data: mappings, lists, text, numbers and booleans.

    Values of sections that are `None` are omitted, and so are keys that are not among
    `relevant_keys()`, if a section defines it.
    """
    if hasattr(value, "to_plain"):
        return value.to_plain()
    if dataclasses.is_dataclass(value):
        return section_to_plain(value)
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def section_to_plain(value: Any) -> dict[str, Any]:
    """Returns a section as a plain mapping, in the order of its fields or relevant keys."""
    if hasattr(value, "relevant_keys"):
        keys = value.relevant_keys()
    else:
        keys = [field.name for field in dataclasses.fields(value)]
    items = {key: getattr(value, key) for key in keys}
    return {key: to_plain(item) for key, item in items.items() if item is not None}


def path_beside(folder: str | os.PathLike, path: str | os.PathLike) -> pathlib.Path:
    """Returns `path`, relative to `folder`, with `..` resolved where the text allows it."""
    joined = pathlib.Path(folder) / path
    plain = pathlib.Path(os.path.normpath(joined))
    # After a link to a folder, `..` is not the parent in the text.
    return plain if os.path.realpath(plain) == os.path.realpath(joined) else joined
