"""One feature of an impression."""

from pydantic import model_validator

from lmn_tf.specs.column import (
    KIND_KEYS,
    ColumnMethods,
    Kind,
    MaxValues,
    NumBuckets,
    Role,
    Unit,
    Width,
)  # fmt: skip
from lmn_tf.specs.column_rules import check_column
from lmn_tf.specs.lookup import Lookup
from lmn_tf.specs.section import AnyText, Integer, Name, Number, Text, section
from lmn_tf.specs.transform import Transform


@section
class Feature(ColumnMethods):
    """A column of the data and how it is read.

    Args:
        name: String of letters, digits and underscores.
        role: `"user"`, `"item"` (the candidate), `"context"` or `"cross"`.
        kind: `"categorical"`, `"numeric"`, `"multi_value"`, `"cross"`, `"elapsed_time"` or
            `"vector"`.
        column: String. Name of the data column. Defaults to `None`, which means `name`.
        lookup: `Lookup` of a categorical, multi_value or cross feature.
        table: String. The embedding table. Defaults to `None`: a table of the feature's own.
        transform: Steps for a numeric feature. Defaults to `()`.
        of: Names of the features that a cross feature combines. Defaults to `()`.
        default: What a missing value becomes. Defaults to `None`: id 1, or an error for numbers.
        weights: String. Column with a weight for each value of a multi_value feature.
        max_values: Integer. Only so many values are kept, the first ones. Defaults to `16`.
        separator: String that splits text cells into lists. Defaults to `"|"`.
        size: Integer. Width of a vector feature.
        num_buckets: Integer. Buckets of an elapsed_time feature. Defaults to `32`.
        unit: `"second"`, `"minute"`, `"hour"` or `"day"`: what elapsed time is counted in.
            Defaults to `"second"`.
    """

    name: Name
    role: Role
    kind: Kind
    column: Text | None = None
    lookup: Lookup | None = None
    table: Name | None = None
    transform: Transform = ()
    of: tuple[Name, ...] = ()
    default: Integer | Number | AnyText | None = None
    weights: Text | None = None
    max_values: MaxValues = 16
    separator: Text = "|"
    size: Width | None = None
    num_buckets: NumBuckets = 32
    unit: Unit = "second"

    @model_validator(mode="after")
    def _check(self):
        check_column(self)
        return self

    @property
    def key(self):
        """The feature's name in `Assets`."""
        return self.name

    def relevant_keys(self):
        """Names of the arguments that mean something for this kind."""
        column = () if self.kind == "cross" else ("column",)
        return ("name", "role", "kind", *column, *KIND_KEYS[self.kind])
