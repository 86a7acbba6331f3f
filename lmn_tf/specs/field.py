"""One field of the events of a sequence."""

from typing import Literal

from pydantic import model_validator

from lmn_tf.specs.column import (
    DEFAULTS,
    KIND_KEYS,
    OPTIONAL_KEYS,
    ColumnMethods,
    MaxValues,
    NumBuckets,
    Unit,
    Width,
)  # fmt: skip
from lmn_tf.specs.column_rules import check_column
from lmn_tf.specs.lookup import Lookup
from lmn_tf.specs.section import AnyText, Integer, Name, Number, Problem, Text, section
from lmn_tf.specs.transform import Transform


@section
class Field(ColumnMethods):
    """A field of a sequence: either `like` a feature, or of a kind of its own.

    Args:
        name: String, unique in the sequence.
        column: String. Name of the data column, which holds lists. Defaults to `None`: `name`.
        like: String. Name of the feature whose lookup, table and all else are used.
        kind: As of a `Feature`, but not `"cross"`. Defaults to `None`, with `like`.
        lookup, table, transform, default, weights, max_values, separator, size, num_buckets, unit:
            As of a `Feature`; not to be given with `like`.
    """

    name: Name
    column: Text | None = None
    like: Name | None = None
    kind: Literal["categorical", "numeric", "multi_value", "elapsed_time", "vector"] | None = None
    lookup: Lookup | None = None
    table: Name | None = None
    transform: Transform = ()
    default: Integer | Number | AnyText | None = None
    weights: Text | None = None
    max_values: MaxValues = 16
    separator: Text = "|"
    size: Width | None = None
    num_buckets: NumBuckets = 32
    unit: Unit = "second"

    @model_validator(mode="after")
    def _check(self):
        if self.like is None and self.kind is None:
            raise Problem((), "a field must have `like` or `kind`. Received: neither")
        if self.like is None:
            check_column(self)
            return self
        for key in ("kind", *OPTIONAL_KEYS):
            # The weights of a history lie in a column of their own.
            if key in ("of", "weights"):
                continue
            if getattr(self, key) != DEFAULTS.get(key):
                raise Problem(
                    (key,),
                    f"`{key}` must not be given with `like`, which tells it."
                    f" Received: like={self.like!r} and `{key}`",
                )
        return self

    def relevant_keys(self):
        """Names of the arguments that mean something for this field."""
        if self.like is not None:
            return ("name", "column", "like", "weights")
        return ("name", "kind", "column", *KIND_KEYS[self.kind])
