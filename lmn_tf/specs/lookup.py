"""Lookups, which turn values into ids."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmn_tf.specs.yaml.section import AnyText, Count, Integer, Positive, Problem, Text, section

REFUSED_ID = -1  # of unknown values that are an error
UNKNOWN_ID = 1  # of unknown and missing values; id 0 is padding
FIRST_ID = 2  # of the values that a column knows

LOOKUP_METHODS = ("vocabulary", "learn", "hash", "identity")


@section
class Learn:
    """A vocabulary learned from the training data, most frequent values first.

    Args:
        min_count: Integer. Less frequent values are unknown. Defaults to `1`.
        max_size: Integer or `None`. Largest number of values to keep. Defaults to `None`.
    """

    min_count: Positive = 1
    max_size: Count | None = None


@section
class Lookup:
    """Mapping from the values of a categorical column to ids, by exactly one method.

    Id 0 is padding, id 1 is for unknown and missing values, and other ids start at 2. Values are
    compared as text; see `feature_specs/README.md` for the text of each format and type.

    Args:
        vocabulary: Path of a file with one value per line (or a JSON list), relative to the YAML
            file; or the list itself. The value at position `i` has id `i + 2`.
        learn: `Learn` section, to learn the vocabulary from the training data.
        hash: Integer `B`. A value has id `2 + hash(value) mod B`; no value is unknown.
        identity: Integer `N`. The integer `v` in `[0, N)` has id `v + 2`.
        unknown: Treatment of unknown values: `"own_id"` (id 1), `"padding"` (id 0, as if missing),
            or `"error"`. Defaults to `"own_id"`.

    Example:

    >>> Lookup(identity=24).size
    26
    """

    vocabulary: Text | Annotated[tuple[Integer | AnyText, ...], Field(min_length=1)] | None = None
    learn: Learn | None = None
    hash: Count | None = None
    identity: Count | None = None
    unknown: Literal["own_id", "padding", "error"] = "own_id"

    @model_validator(mode="after")
    def _check(self):
        methods = [method for method in LOOKUP_METHODS if getattr(self, method) is not None]
        if len(methods) != 1:
            received = ", ".join(f"`{method}`" for method in methods) or "none of them"
            known = ", ".join(f"`{method}`" for method in LOOKUP_METHODS)
            raise Problem(
                methods[1:2], f"`lookup` must have exactly one of {known}. Received: {received}"
            )
        if isinstance(self.vocabulary, tuple):
            self._check_vocabulary()
        return self

    def _check_vocabulary(self):
        kinds = {type(value) for value in self.vocabulary}
        if len(kinds) > 1:
            raise Problem(
                ("vocabulary",),
                "`vocabulary` must be all text or all integers. Received: both"
                " (quote a value to make it text)",
            )
        values = set()
        for index, value in enumerate(self.vocabulary):
            if value in values:
                raise Problem(
                    ("vocabulary", index),
                    f"`vocabulary` must not repeat. Received: {value!r} twice",
                )
            values.add(value)

    @property
    def method(self) -> str:
        """The given method: `"vocabulary"`, `"learn"`, `"hash"` or `"identity"`."""
        return next(method for method in LOOKUP_METHODS if getattr(self, method) is not None)

    @property
    def unknown_id(self) -> int:
        """Id of unknown values, as `unknown` says."""
        return {"own_id": UNKNOWN_ID, "padding": 0, "error": REFUSED_ID}[self.unknown]

    @property
    def size(self) -> int | None:
        """Number of ids including the two reserved ones, or `None` if it depends on files."""
        if isinstance(self.vocabulary, tuple):
            return len(self.vocabulary) + FIRST_ID
        count = self.hash if self.hash is not None else self.identity
        return None if count is None else count + FIRST_ID
