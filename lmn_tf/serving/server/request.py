"""Requests for scores, as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from lmn_tf.specs.errors import did_you_mean, short

_FORMS = ({"rows"}, {"user", "candidates"})


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: Integer. Status code of the answer.
        message: String. The rule, and what breaks it.

    Example:

    >>> RequestError(413, "the body must be smaller.").status
    413
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class ScoreRequest:
    """What is to be scored: rows, or candidates of a user.

    Args:
        num_rows: Integer. Number of the rows or candidates.
        rows: List of dictionaries, or dictionary of lists. Defaults to `None`.
        user: Dictionary of the columns of the user. Defaults to `None`.
        candidates: As `rows`. Defaults to `None`.
    """

    num_rows: int
    rows: Any = None
    user: Any = None
    candidates: Any = None

    @property
    def joins(self) -> bool:
        """Whether it can be scored together with others."""
        return self.rows is not None

    @property
    def columns(self) -> set[str]:
        """Names of the columns that it gives, in any row."""
        rows = self.candidates if self.rows is None else self.rows
        return set(self.user or ()).union(*([rows] if isinstance(rows, dict) else rows))


def read_request(body: bytes, max_rows: int) -> ScoreRequest:
    """Reads a request. Its columns are not looked at.

    Args:
        body: The bytes of the JSON text.
        max_rows: Integer. Most rows, or candidates, that are accepted.

    Raises:
        RequestError: With status 400 for what is no JSON, 422 for JSON that is no request, and 413
            for too many rows.

    Example:

    >>> read_request(b'{"rows": [{"item": 3}]}', max_rows=10).num_rows
    1
    """
    document = _parsed(body)
    if not isinstance(document, dict):
        raise RequestError(422, f"the body must be an object. Received: {short(document)}")
    if document.keys() not in _FORMS:
        known = sorted(set.union(*_FORMS))
        unknown = next((key for key in document if key not in known), None)
        near = "" if unknown is None else did_you_mean(unknown, known)
        raise RequestError(
            422,
            "the body must have `rows`, or `user` and `candidates`. "
            f"Received: {short(list(document))}.{near}",
        )
    if "rows" in document:
        return ScoreRequest(_count(document, "rows", max_rows), rows=document["rows"])
    if not isinstance(document["user"], dict):
        raise RequestError(422, f"`user` must be an object. Received: {short(document['user'])}")
    return ScoreRequest(_count(document, "candidates", max_rows), **document)


def _parsed(body):
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body must be UTF-8. Received: {error}") from None
    except RecursionError:
        raise RequestError(400, "the body must be JSON that is nested less deep.") from None
    except ValueError as error:  # also of integers with thousands of digits
        raise RequestError(400, f"the body must be JSON. Received: {error}") from None


def _refuse(name):
    raise ValueError(f"{name}, which is no number of JSON")


def _count(document, name, max_rows):
    """The number of rows of a list of objects or an object of lists."""
    rows = document[name]
    if isinstance(rows, dict):
        parts, kind = rows.items(), list
        count = max((len(part) for part in rows.values() if isinstance(part, list)), default=0)
    elif isinstance(rows, list):
        parts, kind = enumerate(rows, 1), dict
        count = len(rows)
    else:
        raise RequestError(
            422,
            f"`{name}` must be a list of objects, or an object of lists. Received: {short(rows)}",
        )
    for place, part in parts:
        if not isinstance(part, kind):
            where = f"row {place}" if kind is dict else f"column `{place}`"
            rule = "be an object" if kind is dict else "be a list"
            raise RequestError(422, f"`{name}`: {where} must {rule}. Received: {short(part)}")
    if count > max_rows:
        raise RequestError(413, f"`{name}` must be {max_rows:,} at most. Received: {count:,}")
    return count
