"""The one exception for mistakes that a user can mend."""

import difflib
import pathlib


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

    def __init__(self, message, file=None, line=None, others=()):
        self.message = " ".join(str(message).split("\n"))
        self.file = None if file is None else str(file)
        self.line = line
        self.others = tuple(others)
        super().__init__(self._text())

    def _text(self):
        where = [str(part) for part in (self.file, self.line) if part is not None]
        if self.file is None and self.line is not None:
            where = [f"line {self.line}"]
        return ": ".join([":".join(where), self.message]) if where else self.message

    def __reduce__(self):
        return type(self), (self.message, self.file, self.line, self.others)


def nearest(name, names):
    """Returns the one of `names` most like `name`, or `None` when nothing is near.

    Example:

    >>> nearest("vocabulary_sizes", ["vocabulary_size", "dim"])
    'vocabulary_size'
    """
    best = max(names, key=lambda other: _likeness(name, other), default=None)
    return None if best is None or _likeness(name, best) < 0.6 else best


def _likeness(one, other):
    """Returns how alike two names are: swapped letters and the same start count for more."""
    one, other = str(one)[:100].casefold(), str(other)[:100].casefold()
    ratio = difflib.SequenceMatcher(None, one, other).ratio()
    return ratio + 0.1 * (sorted(one) == sorted(other)) + 0.01 * (one[:1] == other[:1])


def did_you_mean(name, names):
    """Returns `" Did you mean `x`?"` for the nearest of `names`, else the short list of them."""
    names = list(names)
    best = nearest(name, names)
    if best is not None:
        return f" Did you mean `{best}`?"
    if not names or len(names) > 12:
        return ""
    return " Known: " + ", ".join(f"`{choice}`" for choice in names) + "."


def short(value, limit=80):
    """Returns `repr(value)` cut to `limit` characters, for the end of a message."""
    try:
        text = repr(str(value)) if isinstance(value, pathlib.PurePath) else repr(value)
    except (ValueError, RecursionError):  # integers past the digit limit, nests past the stack
        text = f"<{type(value).__name__}>"
    text = text.replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 3] + "..."
