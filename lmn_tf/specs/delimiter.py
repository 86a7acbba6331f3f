"""Delimiters of CSV files."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.yaml.section import Problem

_RULE = r"must be one ASCII character, not a quote or the end of a line; `\t` is a tab"


def as_delimiter(value: Any) -> str:
    r"""Returns the delimiter that a user has given as a single character.

    Raises:
        UserError: If it is not a valid delimiter.

    Example:

    >>> as_delimiter(r"\t")
    '\t'
    """
    text = "\t" if value == r"\t" else value
    if not isinstance(text, str) or len(text) != 1 or not text.isascii() or text in '"\r\n\0':
        raise UserError(f"`delimiter` {_RULE}. Received: delimiter={short(value)}")
    return text


def _checked(value):
    try:
        return as_delimiter(value)
    except UserError:
        raise Problem((), f"{_RULE}. Received: {short(value)}") from None


Delimiter = Annotated[str, BeforeValidator(_checked), Field(strict=True)]
