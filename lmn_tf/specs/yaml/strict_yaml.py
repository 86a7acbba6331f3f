"""Strict YAML: duplicate keys, anchors, tags and merge keys are refused, with their line."""

from __future__ import annotations

import math
import os
import pathlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from lmn_tf.specs.errors import UserError, nearest, short
from lmn_tf.specs.yaml.plain_file import other_than_file

MAX_DEPTH = 32
_MAX_DIGITS = 100
_MAX_BYTES = 16 << 20
_TOO_DEEP = f"nesting must be at most {MAX_DEPTH} deep."
# YAML 1.2 core schema. YAML 1.1 would read `no` as False, `12:30` as 750 and `1e-3` as text.
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^[-+]?[0-9][0-9_]*$")
_FLOAT = re.compile(r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$")
_INFINITE = re.compile(r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$")
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes all text that `load` would not read as text, and writes no anchors."""

    def ignore_aliases(self, data):
        return True


def _represent_text(dumper, text):
    # PyYAML folds these line breaks to spaces unless they are escaped.
    style = '"' if any(sign in text for sign in "\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class Marks(dict):
    """Lines of a YAML document: path of keys and indices → line, counted from 1.

    Args:
        lines: Mapping. Defaults to `()`: none.
        files: Mapping from paths that come from other files to these files. Defaults to `()`.
    """

    def __init__(
        self,
        lines: Mapping[tuple, int | None] | tuple[()] = (),
        files: Mapping[tuple, str | os.PathLike] | tuple[()] = (),
    ) -> None:
        super().__init__(lines)
        self.files = dict(files)

    def line(self, path: Iterable[str | int]) -> int | None:
        """Returns the line of `path`, or of its nearest ancestor that has one."""
        return self.get(self._nearest(path))

    def location(
        self, path: Iterable[str | int], file: str | os.PathLike | None
    ) -> tuple[str | os.PathLike | None, int | None]:
        """Returns the file and the line of `path`; `file` is the file of the document.

        Example:

        >>> marks = Marks({("model",): 3, ("train",): 7}, {("train",): "base.yaml"})
        >>> marks.location(("model", "name"), "own.yaml"), marks.location(("train",), "own.yaml")
        (('own.yaml', 3), ('base.yaml', 7))
        """
        path = self._nearest(path)
        return self.files.get(path, file), self.get(path)

    def _nearest(self, path):
        path = tuple(path)
        while path and path not in self:
            path = path[:-1]
        return path

    def without(self, paths: Iterable[Iterable[str | int]]) -> Marks:
        """Returns the marks of a document in which the values at `paths` have been replaced.

        These paths, and paths below them, have no line.

        Example:

        >>> marks = Marks({("model",): 3, ("model", "name"): 4}).without([("model", "name")])
        >>> marks.line(("model", "dropout")), marks.line(("model", "name"))
        (3, None)
        """
        paths = {tuple(path) for path in paths}
        lines = {
            key: line
            for key, line in self.items()
            if not any(key[:length] in paths for length in range(len(key) + 1))
        }
        files = {path: file for path, file in self.files.items() if path in lines}
        return Marks({**lines, **dict.fromkeys(paths)}, files)


class _Reader:
    """Converts parser events to plain data, by recursion bounded by `MAX_DEPTH`.

    The nodes of `yaml.compose` have no anchors, and are all built before a rule can be checked.
    """

    def __init__(self, text, file):
        self.file = file
        self.marks = Marks()
        self.events = yaml.parse(text, Loader=_Loader)

    def fail(self, message, event):
        raise UserError(message, file=self.file, line=event.start_mark.line + 1)

    def next_event(self):
        event = next(self.events)
        if getattr(event, "anchor", None) is not None:
            self.fail("anchors and aliases must not be used.", event)
        return event

    def document(self):
        root = None
        self.next_event()  # the start of the stream
        if isinstance(self.next_event(), yaml.DocumentStartEvent):
            root = self.value((), self.next_event())
            self.next_event()  # the end of the document
            event = self.next_event()
            if isinstance(event, yaml.DocumentStartEvent):
                self.fail("a file must hold one YAML document.", event)
        return root

    def value(self, path, event):
        # The line of a value is that of its key.
        self.marks.setdefault(path, event.start_mark.line + 1)
        if isinstance(event, yaml.ScalarEvent):
            return self.scalar(event)
        self.check_tag(event)
        if len(path) >= MAX_DEPTH:
            self.fail(_TOO_DEEP, event)
        read = self.sequence if isinstance(event, yaml.SequenceStartEvent) else self.mapping
        return read(path)

    def sequence(self, path):
        items = []
        while not isinstance(event := self.next_event(), yaml.SequenceEndEvent):
            items.append(self.value((*path, len(items)), event))
        return items

    def mapping(self, path):
        items = {}
        while not isinstance(event := self.next_event(), yaml.MappingEndEvent):
            key = self.key(path, event)
            items[key] = self.value((*path, key), self.next_event())
        return items

    def key(self, path, event):
        if not isinstance(event, yaml.ScalarEvent):
            self.check_tag(event)
            self.fail("a key must be text. Received: a list or a mapping", event)
        key = self.scalar(event)
        if not isinstance(key, str):
            self.fail(f"a key must be text. Received: {short(key)}", event)
        if key == "<<":
            self.fail("merge keys must not be used: write the values out. Received: <<", event)
        if (*path, key) in self.marks:
            first = self.marks[(*path, key)]
            self.fail(f"key `{key}` must be written once. It is also in line {first}.", event)
        self.marks[(*path, key)] = event.start_mark.line + 1
        return key

    def check_tag(self, event):
        is_text = isinstance(event, yaml.ScalarEvent) and event.tag == "!" and event.style
        if event.tag is not None and not is_text:
            self.fail(f"tags must not be used. Received: {short(event.tag)}", event)

    def scalar(self, event):
        self.check_tag(event)
        text = event.value
        if event.style:
            return text
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        is_integer = bool(_INT.match(text))
        if is_integer or _FLOAT.match(text):
            if len(text) > _MAX_DIGITS:
                self.fail(f"a number must have at most {_MAX_DIGITS} digits.", event)
            return (int if is_integer else float)(text.replace("_", ""))
        return float(text.replace(".", "")) if _INFINITE.match(text) else text


def load(source: str | os.PathLike) -> tuple[Any, Marks]:
    """Reads one YAML document from a file (a path) or a text (a string with a line break).

    Returns:
        Pair of the plain data and their `Marks`.

    Raises:
        UserError: With file and line, if the YAML is invalid or not plain.

    Example:

    >>> data, marks = load("name: a\\nsizes: [1, 2]\\n")
    >>> data, marks.line(("sizes", 1))
    ({'name': 'a', 'sizes': [1, 2]}, 2)
    """
    if isinstance(source, str) and "\n" in source:
        return loads(source)
    return loads(read_text(source, _MAX_BYTES), file=source)


def read_text(path: str | os.PathLike, limit: int | None = None) -> str:
    """Returns the text of a UTF-8 file.

    Args:
        path: Path of a regular file, or of a link to one.
        limit: Integer. Largest size in bytes. Defaults to `None`: no limit.

    Raises:
        UserError: If the file is missing, not UTF-8 or larger than `limit`, or is not a regular
            file.
    """
    path = pathlib.Path(path)
    kind = other_than_file(path)
    if kind is not None:
        raise UserError(f"path must be a file. Received: {kind}", file=path)
    try:
        with path.open("rb") as file:
            content = file.read() if limit is None else file.read(limit + 1)
        if limit is not None and len(content) > limit:
            raise UserError(f"file must be at most {limit:,} bytes.", file=path)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"file must exist.{nearest_file(path)}", file=path) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(
            f"file must be UTF-8 text. Received: byte 0x{error.object[error.start]:02x}", path, line
        ) from None
    except UserError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"file must be readable. Received: {reason}", file=path) from None


def no_file(path: str | os.PathLike) -> str:
    """Returns the kind of a path that is not a regular file, for the end of a message.

    Example:

    >>> no_file("/dev/zero"), no_file("/no/such/file")
    ('a device', 'no file.')
    """
    path = pathlib.Path(path)
    return other_than_file(path) or f"no file.{nearest_file(path)}"


def nearest_file(path: pathlib.Path) -> str:
    """Returns a suggestion of the file with the most similar name in the same folder."""
    try:
        names = [file.name for file in path.parent.iterdir() if file.suffix == path.suffix]
    except OSError:
        return ""
    near = nearest(path.name, names)
    return "" if near is None else f" Did you mean `{path.parent / near}`?"


def loads(text: str, file: str | os.PathLike | None = None) -> tuple[Any, Marks]:
    """Reads one YAML document from `text`; messages name `file`."""
    reader = _Reader(text, file)
    try:
        return reader.document(), reader.marks
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from None


def _syntax_error(error, text, file):
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    deep = None if mark is None else _depth_mark(text[: mark.index])
    if deep is not None:
        return UserError(_TOO_DEEP, file=file, line=deep.line + 1)
    line = None if mark is None else mark.line + 1
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    if line is None and isinstance(getattr(error, "position", None), int):
        line = text[: error.position].count("\n") + 1
    lines = text.splitlines()
    if line is not None and line <= len(lines) and re.match(r"^\s*\t", lines[line - 1]):
        problem = "indentation must be spaces, not tabs"
    return UserError(f"file must be valid YAML. Received: {problem}", file=file, line=line)


def _depth_mark(text):
    """Returns the mark at which `text` is nested too deeply, or `None`.

    PyYAML reads ahead, so its own depth limit would stop it before earlier mistakes are reported.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
            depth -= isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent))
            if depth > MAX_DEPTH:
                return event.start_mark
    except yaml.YAMLError:
        pass  # The text is truncated.
    return None


def dump(data: Any) -> str:
    """Returns plain data as text that `load` reads as the same data.

    Example:

    >>> dump({"values": ["08", "1e-3", "no"], "rate": 1e-3})
    "values:\\n- '08'\\n- '1e-3'\\n- 'no'\\nrate: 0.001\\n"
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def is_finite(value: Any) -> bool:
    """Returns whether `value` is a finite number and not a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)
