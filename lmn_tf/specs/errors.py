"""The exception for mistakes of users."""

from __future__ import annotations

import difflib
import itertools
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

_ALIKE = 0.6  # least likeness of a name to be suggested
_MOST_NAMES = 10_000  # number of names that are compared
_LONGEST_WORD, _LONGEST_MESSAGE = 200, 1200


class UserError(ValueError):
    """A mistake in the user's input, described in one sentence with its file and line.

    Args:
        message: String. The rule, and the value that breaks it.
        file: Path of the file that is wrong, or `None`. Defaults to `None`.
        line: Integer, counted from 1, or `None`. Defaults to `None`.
        others: Tuple of `UserError`. Further mistakes in the same file. Defaults to `()`.

    Example:

    >>> str(UserError("`dim` must be at least 1. Received: dim=0", file="a.yaml", line=3))
    'a.yaml:3: `dim` must be at least 1. Received: dim=0'
    """

    def __init__(
        self,
        message: Any,
        file: str | os.PathLike | None = None,
        line: int | None = None,
        others: Iterable[UserError] = (),
    ) -> None:
        self.message = clipped(" ".join(str(message).split("\n")))
        self.file = None if file is None else str(file)
        self.line = line
        self.others = tuple(others)
        super().__init__(self._text())

    def _text(self):
        file = None if self.file is None else clipped(self.file)
        where = [str(part) for part in (file, self.line) if part is not None]
        if self.file is None and self.line is not None:
            where = [f"line {self.line}"]
        return ": ".join([":".join(where), self.message]) if where else self.message

    def __reduce__(self):
        return type(self), (self.message, self.file, self.line, self.others)


def nearest(name: Any, names: Iterable[Any]) -> Any:
    """Returns the name most similar to `name`, or `None` if none is similar.

    Example:

    >>> nearest("vocabulary_sizes", ["vocabulary_size", "dim"])
    'vocabulary_size'
    """
    best, most = None, 0.0
    for candidate in itertools.islice(names, _MOST_NAMES):
        likeness = _likeness(name, candidate, max(most, _ALIKE))
        if likeness > most:
            best, most = candidate, likeness
    return best


def _likeness(name, candidate, least):
    """Returns the similarity of two names, or 0 if it is clearly below `least`.

    Transposed letters and an equal first letter increase it.
    """
    name, candidate = str(name)[:100].casefold(), str(candidate)[:100].casefold()
    extra = 0.1 * (sorted(name) == sorted(candidate)) + 0.01 * (name[:1] == candidate[:1])
    matcher = difflib.SequenceMatcher(None, name, candidate)
    for bound in (matcher.real_quick_ratio, matcher.quick_ratio):  # cheap upper bounds
        if bound() + extra < least:
            return 0.0
    likeness = matcher.ratio() + extra
    return likeness if likeness >= least else 0.0


def did_you_mean(name: Any, names: Iterable[Any]) -> str:
    """Returns `" Did you mean `x`?"` for the most similar name, else the names if they are few."""
    names = list(names)
    best = nearest(name, names)
    if best is not None:
        return f" Did you mean `{best}`?"
    if not names or len(names) > 12:
        return ""
    return " Known: " + ", ".join(f"`{choice}`" for choice in names) + "."


def clipped(text: str) -> str:
    """Returns a message with the middle of overlong words, and of an overlong message, cut out.

    Example:

    >>> clipped("no file " + "x" * 5000)[:20], len(clipped("no file " + "x" * 5000))
    ('no file xxxxxxxxxxxx', 208)
    """
    words = re.sub(
        rf"\S{{{_LONGEST_WORD + 1},}}", lambda match: _cut(match[0], _LONGEST_WORD), text
    )
    return _cut(words, _LONGEST_MESSAGE)


def _cut(text, limit):
    half = (limit - 3) // 2
    return text if len(text) <= limit else f"{text[: limit - 3 - half]}...{text[-half:]}"


def short(value: Any, limit: int = 80) -> str:
    """Returns `repr(value)`, cut to `limit` characters, for a message."""
    try:
        text = repr(str(value)) if isinstance(value, pathlib.PurePath) else repr(value)
    except (ValueError, RecursionError):  # integers beyond the digit limit, too deep nesting
        text = f"<{type(value).__name__}>"
    text = text.replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 3] + "..."
