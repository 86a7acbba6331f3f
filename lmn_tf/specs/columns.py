"""Columns of the data: features, and the fields of sequences."""

import dataclasses
from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.errors import short
from lmn_tf.specs.lookup import Lookup
from lmn_tf.specs.transform import Bucketize, Transform
from lmn_tf.specs.yaml.section import AnyText, Integer, Name, Number, Problem, Text, section

Kind = Literal["categorical", "numeric", "multi_value", "cross", "elapsed_time", "vector"]
Role = Literal["user", "item", "context", "cross"]
Unit = Literal["second", "minute", "hour", "day"]
TimeUnit = Literal["second", "millisecond", "microsecond", "nanosecond"]
MaxValues = Annotated[int, pydantic.Field(strict=True, ge=1, le=100_000)]
Width = Annotated[int, pydantic.Field(strict=True, ge=1, le=1_000_000)]
NumBuckets = Annotated[int, pydantic.Field(strict=True, ge=1, le=10_000)]

# What may be written for a column of each kind, beyond its name, role, kind and column.
KIND_KEYS = {
    "categorical": ("lookup", "table", "default"),
    "numeric": ("transform", "table", "default"),
    "multi_value": ("lookup", "table", "default", "weights", "max_values", "separator"),
    "cross": ("lookup", "table", "of"),
    "elapsed_time": ("table", "num_buckets", "unit"),
    "vector": ("size", "separator"),
}
KIND_NEEDS = {
    "categorical": ("lookup",),
    "multi_value": ("lookup",),
    "cross": ("lookup", "of"),
    "vector": ("size",),
}
OPTIONAL_KEYS = (
    "lookup", "table", "transform", "of", "default", "weights",
    "max_values", "separator", "size", "num_buckets", "unit",
)  # fmt: skip
DEFAULTS = {
    "transform": (), "of": (), "max_values": 16, "separator": "|", "num_buckets": 32,
    "unit": "second",
}  # fmt: skip


class ColumnMethods:
    """Questions that features, fields and resolved fields answer alike."""

    @property
    def data_column(self):
        """Name of the column in the data."""
        return self.column if self.column is not None else self.name

    @property
    def bucketize(self):
        """The `Bucketize` step that ends the transform, or `None`."""
        last = self.transform[-1] if self.transform else None
        return last if isinstance(last, Bucketize) else None

    @property
    def has_ids(self):
        """Whether values become ids (of an embedding table) and not plain numbers."""
        if self.kind == "numeric":
            return self.bucketize is not None
        return self.kind != "vector"

    @property
    def needs_statistics(self):
        """Whether a step of the transform is learned from the training data."""
        named = any(step in ("standardize", "min_max") for step in self.transform)
        return named or (self.bucketize is not None and self.bucketize.learned)


def check_column(column):
    """Raises `Problem` when a feature or a field has what its kind cannot use, or lacks it."""
    kind = column.kind
    for key in OPTIONAL_KEYS:
        if not hasattr(column, key):
            continue
        value, unset = getattr(column, key), DEFAULTS.get(key)
        if value != unset and key not in KIND_KEYS[kind]:
            kinds = " or ".join(k for k, keys in KIND_KEYS.items() if key in keys)
            raise Problem(
                (key,),
                f"`{key}` must be given for kind {kinds} only. Received: `{key}` for kind {kind}",
            )
        if value == unset and key in KIND_NEEDS.get(kind, ()):
            raise Problem((), f"`{key}` must be given for kind {kind}. Received: nothing")
    if kind == "numeric" and column.table is not None and column.bucketize is None:
        raise Problem(
            ("table",),
            "`table` must be given for a numeric column only with `bucketize`."
            f" Received: table={column.table!r}",
        )
    if kind == "cross":
        _check_cross(column)
    if column.default is not None:
        _check_default(column)


def _check_cross(column):
    if len(column.of) < 2:
        raise Problem(("of",), f"`of` must name two features or more. Received: {list(column.of)}")
    seen = set()
    for index, name in enumerate(column.of):
        if name in seen:
            raise Problem(("of", index), f"`of` must not repeat. Received: {name!r} twice")
        seen.add(name)
    if column.lookup.hash is None:
        raise Problem(
            ("lookup", column.lookup.way),
            f"`lookup` of a cross must be `hash`. Received: {column.lookup.way}",
        )
    if getattr(column, "column", None) is not None:
        raise Problem(
            ("column",),
            "`column` must not be given for kind cross, which is made of features."
            f" Received: column={column.column!r}",
        )


def _check_default(column):
    default = column.default
    is_number = isinstance(default, (int, float))
    if column.kind == "numeric":
        if not is_number:
            raise Problem(
                ("default",),
                "`default` of a numeric column must be a number."
                f" Received: default={short(default)}",
            )
        return
    if isinstance(default, float):
        raise Problem(
            ("default",),
            f"`default` of a {column.kind} column must be text or an integer."
            f" Received: default={default!r}",
        )
    lookup = column.lookup
    if lookup.identity is not None and not (is_number and 0 <= default < lookup.identity):
        raise Problem(
            ("default",),
            f"`default` must be an integer in [0, {lookup.identity}), as `identity` says."
            f" Received: default={short(default)}",
        )
    if isinstance(lookup.vocabulary, tuple) and default not in lookup.vocabulary:
        raise Problem(
            ("default",),
            f"`default` must be in the vocabulary. Received: default={short(default)}",
        )


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

    @pydantic.model_validator(mode="after")
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

    @pydantic.model_validator(mode="after")
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolvedField(ColumnMethods):
    """What `FeatureSpec.resolved_field` returns: reads like a `Feature`.

    Args:
        sequence: Name of the sequence.
        like: Name of the feature it is like, or `None`.
        **others: As of `Feature`; `role` is `"sequence"` and `of` is empty.
    """

    sequence: str
    name: str
    column: str | None
    like: str | None
    kind: str
    lookup: Lookup | None = None
    table: str | None = None
    transform: tuple = ()
    default: int | float | str | None = None
    weights: str | None = None
    max_values: int = 16
    separator: str = "|"
    size: int | None = None
    num_buckets: int = 32
    unit: str = "second"
    role: str = "sequence"
    of: tuple = ()

    @property
    def key(self):
        """The field's name in `Assets`: the liked feature's, or `"<sequence>.<field>"`."""
        return self.like if self.like is not None else f"{self.sequence}.{self.name}"
