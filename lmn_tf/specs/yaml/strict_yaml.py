"""YAML read strictly: what is written twice, or by magic, is refused with its line."""

import math
import pathlib
import re

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
    """Quotes all text that `load` would not read as text, and writes no anchors."""

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
        files: Mapping from the paths that other files bring in to these files. Defaults to `()`.
    """

    def __init__(self, lines=(), files=()):
        super().__init__(lines)
        self.files = dict(files)

    def line(self, path):
        """Returns the line of `path`, or of its nearest ancestor that was written."""
        return self.get(self._nearest(path))

    def place(self, path, file):
        """Returns the file and the line of `path`; `file` is that of the document itself.

        Example:

        >>> marks = Marks({("model",): 3, ("train",): 7}, {("train",): "base.yaml"})
        >>> marks.place(("model", "name"), "own.yaml"), marks.place(("train",), "own.yaml")
        (('own.yaml', 3), ('base.yaml', 7))
        """
        path = self._nearest(path)
        return self.files.get(path, file), self.get(path)

    def _nearest(self, path):
        path = tuple(path)
        while path and path not in self:
            path = path[:-1]
        return path

    def without(self, paths):
        """Returns the marks of a document in which the values at `paths` are from elsewhere.

        What stands at one of the paths, or below it, has no line.

        Example:

        >>> marks = Marks({("model",): 3, ("model", "name"): 4}).without([("model", "name")])
        >>> marks.line(("model", "dropout")), marks.line(("model", "name"))
        (3, None)
        """
        paths = {tuple(path) for path in paths}
        kept = {
            key: line
            for key, line in self.items()
            if not any(key[:length] in paths for length in range(len(key) + 1))
        }
        files = {path: file for path, file in self.files.items() if path in kept}
        return Marks({**kept, **dict.fromkeys(paths)}, files)


class _Builder:
    """Turns parser events into plain data. Iterative, so that no nesting can end the process."""

    def __init__(self, file):
        self.file = file
        self.marks = Marks()
        self.root = None
        self.stack = []  # [container, path, pending key]

    def fail(self, message, mark):
        raise UserError(message, file=self.file, line=None if mark is None else mark.line + 1)

    def path(self):
        if not self.stack:
            return ()
        container, path, key = self.stack[-1]
        return path + ((len(container) if isinstance(container, list) else key),)

    def wants_key(self):
        return (
            bool(self.stack) and isinstance(self.stack[-1][0], dict) and self.stack[-1][2] is None
        )

    def add_key(self, key, mark):
        container, path, _ = self.stack[-1]
        if not isinstance(key, str):
            self.fail(f"a key must be text. Received: {short(key)}", mark)
        if key == "<<":
            self.fail("merge keys must not be used: write the values out. Received: <<", mark)
        if key in container:
            first = self.marks[path + (key,)]
            self.fail(f"key `{key}` must be written once. It stands in line {first} too.", mark)
        self.marks[path + (key,)] = mark.line + 1
        self.stack[-1][2] = key

    def add_value(self, value, mark):
        if not self.stack:
            self.root = value
            self.marks[()] = mark.line + 1
            return
        container, path, key = self.stack[-1]
        if isinstance(container, list):
            self.marks[path + (len(container),)] = mark.line + 1
            container.append(value)
        else:
            container[key] = value
            self.stack[-1][2] = None

    def open(self, container, mark):
        if self.wants_key():
            self.fail("a key must be text. Received: a list or a mapping", mark)
        if len(self.stack) >= MAX_DEPTH:
            self.fail(_TOO_DEEP, mark)
        path = self.path()
        self.add_value(container, mark)
        self.stack.append([container, path, None])

    def scalar(self, event):
        mark = event.start_mark
        if event.tag is not None and not (event.tag == "!" and event.style):
            self.fail(f"tags must not be used. Received: {short(event.tag)}", mark)
        value = event.value if event.style else self.plain(event.value, mark)
        if self.wants_key():
            self.add_key(value, mark)
        else:
            self.add_value(value, mark)

    def plain(self, text, mark):
        if _NULL.match(text):
            return None
        if _BOOL.match(text):
            return text.lower() == "true"
        if _INT.match(text):
            if len(text) > _MAX_DIGITS:
                self.fail(f"a number must have at most {_MAX_DIGITS} digits.", mark)
            return int(text.replace("_", ""))
        if _FLOAT.match(text):
            if len(text) > _MAX_DIGITS:
                self.fail(f"a number must have at most {_MAX_DIGITS} digits.", mark)
            return float(text.replace("_", ""))
        if _INFINITE.match(text):
            return float(text.replace(".", ""))
        return text


def load(source):
    """Reads one YAML document from a file (a path) or a text (a string with a line break).

    Returns:
        Pair of the plain data and their `Marks`.

    Raises:
        UserError: with file and line, for all that is not plain, single-valued YAML.

    Example:

    >>> data, marks = load("name: a\\nsizes: [1, 2]\\n")
    >>> data, marks.line(("sizes", 1))
    ({'name': 'a', 'sizes': [1, 2]}, 2)
    """
    if isinstance(source, str) and "\n" in source:
        return loads(source)
    return loads(read_text(source, _MAX_BYTES), file=source)


def read_text(path, limit=None):
    """Returns the text of the file `path`, which must be UTF-8.

    Args:
        path: Path of a plain file, or of a link to one.
        limit: Integer. Most bytes that are read. Defaults to `None`: as many as there are.

    Raises:
        UserError: when there is no such file, it is not UTF-8 or longer than `limit`, or the path
            leads to something else: reading a pipe or a device may never end.
    """
    path = pathlib.Path(path)
    other = other_than_file(path)
    if other is not None:
        raise UserError(f"path must be a file. Received: {other}", file=path)
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


def no_file(path):
    """Returns what `path` is where it is no plain file, to end a message with.

    Example:

    >>> no_file("/dev/zero"), no_file("/no/such/file")
    ('a device', 'no file.')
    """
    path = pathlib.Path(path)
    return other_than_file(path) or f"no file.{nearest_file(path)}"


def nearest_file(path):
    """Returns the hint at the file of the same folder whose name is nearest."""
    try:
        names = [other.name for other in path.parent.iterdir() if other.suffix == path.suffix]
    except OSError:
        return ""
    near = nearest(path.name, names)
    return "" if near is None else f" Did you mean `{path.parent / near}`?"


def loads(text, file=None):
    """Reads one YAML document from `text`; `file` is named in errors."""
    builder = _Builder(file)
    documents = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if getattr(event, "anchor", None) is not None:
                builder.fail("anchors and aliases must not be used.", event.start_mark)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    builder.fail("a file must hold one YAML document.", event.start_mark)
            elif isinstance(event, yaml.ScalarEvent):
                builder.scalar(event)
            elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
                if event.tag is not None:
                    builder.fail(
                        f"tags must not be used. Received: {short(event.tag)}", event.start_mark
                    )
                empty = {} if isinstance(event, yaml.MappingStartEvent) else []
                builder.open(empty, event.start_mark)
            elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
                builder.stack.pop()
    except yaml.YAMLError as error:
        raise _syntax_error(error, text, file) from None
    return builder.root, builder.marks


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
    """Returns where `text` nests too deep, or `None`.

    PyYAML reads ahead: one with a limit of its own stops before it tells of what comes first.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
            depth -= isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent))
            if depth > MAX_DEPTH:
                return event.start_mark
    except yaml.YAMLError:
        pass  # The text is cut off.
    return None


def dump(data):
    """Returns plain data as the text that `load` reads back as the same data.

    Example:

    >>> dump({"values": ["08", "1e-3", "no"], "rate": 1e-3})
    "values:\\n- '08'\\n- '1e-3'\\n- 'no'\\nrate: 0.001\\n"
    """
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def is_finite(value):
    """Returns whether `value` is a finite number and not a boolean."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)
