"""Lookups, which turn values into ids."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lmn_tf.specs.yaml.section import AnyText, Count, Integer, Positive, Problem, Text, section

_WAYS = ("vocabulary", "learn", "hash", "identity")


@section
class Learn:
    """A vocabulary counted in the training data, most frequent values first.

    Args:
        min_count: Integer. Values seen less often are unknown. Defaults to `1`.
        max_size: Integer or `None`. Only this many values are kept. Defaults to `None`.
    """

    min_count: Positive = 1
    max_size: Count | None = None


@section
class Lookup:
    """How the values of a categorical column become ids; exactly one way is given.

    Id 0 is padding, id 1 stands for unknown and missing values, real values start at 2. Values are
    compared by their text: `feature_specs/README.md` says what each becomes, by format and type.

    Args:
        vocabulary: Path of a file with one value a line (or a JSON list), relative to the YAML
            file; or the list itself. The value at position `i` gets id `i + 2`.
        learn: A `Learn` section: the vocabulary is counted in the training data.
        hash: Integer `B`. A value gets id `2 + hash(value) mod B`; nothing is unknown.
        identity: Integer `N`. The integer `v` in `[0, N)` gets id `v + 2`.
        unknown: What an unknown value becomes: `"own_id"` (id 1), `"padding"` (id 0, hence not
            there), or `"error"`. Defaults to `"own_id"`.

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
        given = [way for way in _WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            received = ", ".join(f"`{way}`" for way in given) or "none of them"
            ways = ", ".join(f"`{way}`" for way in _WAYS)
            raise Problem(
                given[1:2], f"`lookup` must have exactly one of {ways}. Received: {received}"
            )
        if isinstance(self.vocabulary, tuple):
            self._check_vocabulary()
        return self

    def _check_vocabulary(self):
        seen = {}
        kinds = {type(value) for value in self.vocabulary}
        if len(kinds) > 1:
            raise Problem(
                ("vocabulary",),
                "`vocabulary` must be all text or all integers. Received: both"
                " (quote a value to make it text)",
            )
        for index, value in enumerate(self.vocabulary):
            if value in seen:
                raise Problem(
                    ("vocabulary", index),
                    f"`vocabulary` must not repeat. Received: {value!r} twice",
                )
            seen[value] = index

    @property
    def way(self) -> str:
        """Which of `"vocabulary"`, `"learn"`, `"hash"`, `"identity"` was given."""
        return next(way for way in _WAYS if getattr(self, way) is not None)

    @property
    def size(self) -> int | None:
        """Number of ids with the two reserved ones, or `None` when only files can tell."""
        if isinstance(self.vocabulary, tuple):
            return len(self.vocabulary) + 2
        count = self.hash if self.hash is not None else self.identity
        return None if count is None else count + 2
