"""Base class of YAML files: parsing, loading and conversion to plain data."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any, Self, TypeVar

import pydantic

from lmn_tf.specs.errors import UserError, did_you_mean, nearest, short
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.specs.yaml.section import (
    DATE_PATTERN,
    NAME_PATTERN,
    Problem,
    known_keys,
    to_plain,
)
from lmn_tf.specs.yaml.strict_yaml import Marks

_Section = TypeVar("_Section")

_RULES = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_too_short": "text of {min_length} character or more",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "greater than {gt}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
}
_PATTERN_RULES = {
    NAME_PATTERN: "letters, digits and underscores, with a letter first",
    DATE_PATTERN: "a day such as 2024-01-31",
}
_MOST_HINTS = 100  # number of misspelled keys of a file for which a similar one is suggested
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
# Error of a union's branch for a value of another shape → the shape that the branch accepts.
_SHAPES = {
    "string_type": str,
    "tuple_type": list,
    "too_short": list,
    "too_long": list,
    "dataclass_type": dict,
    "dict_type": dict,
}
_NO_FILE = (".", None, None)  # folder, file and marks


def parse(
    cls: type[_Section],
    data: Any,
    file: str | os.PathLike | None = None,
    marks: Marks | None = None,
) -> _Section:
    """Creates a section from plain data.

    Args:
        cls: Class of the section, such as `FeatureSpec`.
        data: Mapping read from YAML.
        file: Path of the file, for messages. Defaults to `None`.
        marks: `Marks` of the data. Defaults to `None`: messages name no line.

    Raises:
        UserError: For the first mistake of the file, with the rest in `others`.
    """
    marks = marks if marks is not None else Marks()
    if data is None:
        raise UserError("file must not be empty.", file=file)
    if not isinstance(data, dict):
        raise UserError(
            f"file must hold a mapping. Received: {_shape(data)}", file=file, line=marks.line(())
        )
    try:
        return cls(**{_require_text(key): value for key, value in data.items()})
    except pydantic.ValidationError as error:
        problems = _explain(cls, error, data)
    except RecursionError:
        problems = [((), "nesting must be less deep.")]
    first, *others = [UserError(text, *marks.location(path, file)) for path, text in problems]
    raise UserError(first.message, first.file, first.line, others=others)


def _require_text(key):
    if not isinstance(key, str):
        raise UserError(f"a key must be text. Received: {short(key)}")
    return key


def _shape(value):
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _explain(cls, error, data):
    """Returns `(path, message)` of each mistake: unknown keys first, then in the file's order."""
    groups = {}
    for item in error.errors(include_url=False):
        groups.setdefault(_path(item, data), []).append(item)
    unknown = [path for path, items in groups.items() if items[0]["type"] in _UNKNOWN]
    near = {path: known_keys(cls, path[:-1]) for path in unknown[:_MOST_HINTS]}
    # The correct names of misspelled keys are not missing.
    meant = {(*path[:-1], nearest(path[-1], keys)) for path, keys in near.items()}
    # Of the branches of a union, the one that got furthest is reported.
    inner = {path[:length] for path in groups for length in range(len(path))}
    problems = []
    for path, items in groups.items():
        if path in inner or (items[0]["type"] in _MISSING and path in meant):
            continue
        rank = 0 if items[0]["type"] in _UNKNOWN else 1
        problem = _message(path, _of_shape(items, _get(data, path)), data, near.get(path, ()))
        problems.append((rank, *problem))
    order = sorted(problems, key=lambda problem: (problem[0], _order(problem[1])))
    return [(path, message) for _, path, message in order]


def _of_shape(items, value):
    """Returns the errors of those branches of a union that accept a value of this shape."""
    matching = [item for item in items if isinstance(value, _SHAPES.get(item["type"], ()))]
    return matching or items


def _order(path):
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in path)


def _path(item, data):
    """Returns the path of an error in `data`: that of pydantic, without tags of union branches."""
    path, value = [], data
    location = list(item["loc"])
    last = location.pop() if location and item["type"] in (*_UNKNOWN, *_MISSING) else None
    for part in location:
        if isinstance(value, dict) and part in value and isinstance(part, str):
            path.append(part)
            value = value[part]
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
    if last is not None:
        path.append(last)
    return tuple(path)


def _message(path, items, data, known):
    """Returns the path and the message of an error; `known` are the valid keys at its path."""
    item = items[0]
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Problem):
        path, message = path + cause.path, cause.message
        if message.startswith(("must ", "needs ")):
            message = f"`{dotted(path)}` {message}"
        return path, message + _inside(path, data)
    if item["type"] in _UNKNOWN:
        owner, key = _owner(path[:-1], data), path[-1]
        return path, f"unknown key `{key}`{owner}.{did_you_mean(key, known)}"
    if item["type"] in _MISSING and isinstance(path[-1], str):
        keys = _get(data, path[:-1])
        keys = ", ".join(keys) if isinstance(keys, dict) and keys else "nothing"
        return path[:-1], f"`{path[-1]}` must be given{_owner(path[:-1], data)}. Received: {keys}"
    if item["type"] in _MISSING:
        path, rules = path[:-1], [f"a list of {path[-1] + 1} or more"]
    else:
        rules = list(dict.fromkeys(_rule(item) for item in items))
    value = _get(data, path)
    key = next((part for part in reversed(path) if isinstance(part, str)), "value")
    text = f"`{dotted(path) or key}` must be {' or '.join(rules)}. Received: {key}={short(value)}"
    if item["type"] == "literal_error":
        near = nearest(value, re.findall(r"'([^']*)'", item["ctx"]["expected"]))
        text += "" if near is None else f". Did you mean `{near}`?"
    return path, text + _inside(path, data)


def _rule(item):
    rule = _RULES.get(item["type"])
    if rule is None:
        return item["msg"][:1].lower() + item["msg"][1:]
    if item["type"] == "string_pattern_mismatch":
        rule = _PATTERN_RULES.get(item["ctx"]["pattern"], rule)
    limits = {k: f"{v:g}" if isinstance(v, float) else v for k, v in item.get("ctx", {}).items()}
    text = rule.format(**limits)
    return f"one of {text}" if item["type"] == "literal_error" and "or" in text else text


def dotted(path: Iterable[str | int]) -> str:
    """Returns a path as text: `features[2].lookup`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def located(
    message: str, source: tuple[str | os.PathLike | None, Marks | None], path: Iterable[str | int]
) -> UserError:
    """Returns a `UserError` with the file and the line of a value.

    Args:
        message: String.
        source: Pair of the file and its `Marks`, as of `Document.source`; each may be `None`.
        path: Tuple of keys and indices. Path of the value. Without a line, as for a value of
            `--set`, the error names no file.
    """
    file, marks = source
    where = (None, None) if marks is None else marks.location(path, file)
    return UserError(message, *(where if where[1] else (None, None)))


def _get(data, path):
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _name_at(path, data):
    """Returns the name of the nearest named section around `path`, or `None`."""
    for length in range(len(path), 0, -1):
        value = _get(data, path[:length])
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return f"`{value['name'][:40]}`" if isinstance(path[length - 1], int) else None
    return None


def _inside(path, data):
    name = _name_at(path[:-1], data)
    return "" if name is None else f" (in {name})"


def _owner(path, data):
    if not path:
        return ""
    name = _name_at(path, data)
    return f" in `{dotted(path)}`" + ("" if name is None else f" ({name})")


class Document:
    """Base of sections that are whole files.

    The source of a spec is not part of it: it is neither written nor compared.
    """

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads a YAML file.

        Raises:
            UserError: With file and line, for the first mistake in it.
        """
        data, marks = strict_yaml.load(pathlib.Path(path))
        return cls.from_dict(data, base_dir=pathlib.Path(path).parent, file=path, marks=marks)

    @classmethod
    def from_dict(
        cls,
        data: Any,
        base_dir: str | os.PathLike = ".",
        file: str | os.PathLike | None = None,
        marks: Marks | None = None,
    ) -> Self:
        """Creates the spec from the result of `to_dict`."""
        return parse(cls, data, file=file, marks=marks).with_source(base_dir, file, marks)

    def with_source(
        self,
        base_dir: str | os.PathLike,
        file: str | os.PathLike | None = None,
        marks: Marks | None = None,
    ) -> Self:
        """Sets the source of the spec, or of the spec it was derived from; returns the spec.

        Args:
            base_dir: Folder that paths in the spec are relative to.
            file: Path of the file. Defaults to `None`.
            marks: `Marks` of the data. Defaults to `None`.
        """
        # Not a field, and the record is frozen.
        vars(self)["_source"] = (str(base_dir), file, marks)
        return self

    def to_dict(self) -> dict[str, Any]:
        """Returns the spec as plain data, including all defaults."""
        return to_plain(self)

    @property
    def base_dir(self) -> pathlib.Path:
        """Folder that paths in the file are relative to."""
        return pathlib.Path(vars(self).get("_source", _NO_FILE)[0])

    @property
    def source(self) -> tuple[str | os.PathLike | None, Marks | None]:
        """Pair of the file that the spec was read from and its `Marks`, or `None` for both."""
        return vars(self).get("_source", _NO_FILE)[1:]
