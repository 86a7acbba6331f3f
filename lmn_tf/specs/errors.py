"""The one exception for mistakes that a user can mend."""

from __future__ import annotations

import difflib
import itertools
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

_ALIKE = 0.6  # from here on a name may be meant
_MOST_NAMES = 10_000  # looked through for the nearest one
_LONGEST_WORD, _LONGEST_MESSAGE = 200, 1200


class UserError(ValueError):
    """A mistake in what the user wrote or gave, told in one sentence with its place.

    Args:
        message: String. What must hold, and what was found instead.
        file: Path of the file at fault, or `None`. Defaults to `None`.
        line: Integer, counted from 1, or `None`. Defaults to `None`.
        others: Tuple of `UserError`: further mistakes found in the same file. Defaults to `()`.

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
    """Returns the one of `names` most like `name`, or `None` when nothing is near.

    Example:

    >>> nearest("vocabulary_sizes", ["vocabulary_size", "dim"])
    'vocabulary_size'
    """
    best, most = None, 0.0
    for other in itertools.islice(names, _MOST_NAMES):
        likeness = _likeness(name, other, max(most, _ALIKE))
        if likeness > most:
            best, most = other, likeness
    return best


def _likeness(name, other, least):
    """Returns how alike two names are, or 0 when that is clearly less than `least`.

    Swapped letters and the same start count for more.
    """
    name, other = str(name)[:100].casefold(), str(other)[:100].casefold()
    extra = 0.1 * (sorted(name) == sorted(other)) + 0.01 * (name[:1] == other[:1])
    matcher = difflib.SequenceMatcher(None, name, other)
    for bound in (matcher.real_quick_ratio, matcher.quick_ratio):  # cheap, and never too low
        if bound() + extra < least:
            return 0.0
    likeness = matcher.ratio() + extra
    return likeness if likeness >= least else 0.0


def did_you_mean(name: Any, names: Iterable[Any]) -> str:
    """Returns `" Did you mean `x`?"` for the nearest of `names`, else the short list of them."""
    names = list(names)
    best = nearest(name, names)
    if best is not None:
        return f" Did you mean `{best}`?"
    if not names or len(names) > 12:
        return ""
    return " Known: " + ", ".join(f"`{choice}`" for choice in names) + "."


def clipped(text: str) -> str:
    """Returns a message without the middle of its overlong words, and of itself.

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
    """Returns `repr(value)` cut to `limit` characters, for the end of a message."""
    try:
        text = repr(str(value)) if isinstance(value, pathlib.PurePath) else repr(value)
    except (ValueError, RecursionError):  # integers past the digit limit, nests past the stack
        text = f"<{type(value).__name__}>"
    text = text.replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 3] + "..."
