"""Training files of one day each."""

import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmn_tf.specs.errors import short
from lmn_tf.specs.section import Problem, Text, section

MARK = "{day}"
_MOST_DAYS = 36_525  # a century
_DATE = r"^\d{4}-\d{2}-\d{2}$"

Date = Annotated[str, Field(strict=True, pattern=_DATE, json_schema_extra={"format": "date"})]


@section
class Days:
    """The days that a run trains on, one after another, each once.

    Args:
        first: First day, as `2024-01-31`.
        last: Last day.
        format: How `{day}` in `data.train` is written, in the letters of `strftime`. Defaults to
            `"%Y-%m-%d"`.
        missing: What becomes of a day without files: `"error"` or `"skip"`. Defaults to `"error"`.
        vocabularies: `"first_day"`, from which vocabularies are learned for good, or `"grow"`:
            before each day is trained on, the values that it adds get rows of their own. Defaults
            to `"first_day"`.

    Example:

    >>> Days(first="2024-02-29", last="2024-03-01", format="%m%d").paths("logs/{day}/*.csv")
    {'2024-02-29': 'logs/0229/*.csv', '2024-03-01': 'logs/0301/*.csv'}
    """

    first: Date
    last: Date
    format: Text = "%Y-%m-%d"
    missing: Literal["error", "skip"] = "error"
    vocabularies: Literal["first_day", "grow"] = "first_day"

    @model_validator(mode="after")
    def _check(self):
        first, last = (_date(key, getattr(self, key)) for key in ("first", "last"))
        if last < first:
            raise Problem(
                ("last",), f"`last` must not be before `first`, {first}. Received: last={last}"
            )
        if (last - first).days >= _MOST_DAYS:
            raise Problem(
                ("last",),
                f"`last` must be less than {_MOST_DAYS:,} days after `first`, {first}. "
                f"Received: last={last}",
            )
        if first.strftime(self.format) == (first + datetime.timedelta(1)).strftime(self.format):
            raise Problem(
                ("format",),
                "`format` must write each day differently, as '%Y-%m-%d' does. "
                f"Received: format={short(self.format)}",
            )
        return self

    def paths(self, pattern):
        """Returns the pattern of each day's files, by the day as `2024-01-31`, in order."""
        first, last = (datetime.date.fromisoformat(day) for day in (self.first, self.last))
        days = [first + datetime.timedelta(n) for n in range((last - first).days + 1)]
        return {str(day): pattern.replace(MARK, day.strftime(self.format)) for day in days}


def _date(key, text):
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise Problem((key,), f"`{key}` must be a day there is. Received: {key}={text}") from None
