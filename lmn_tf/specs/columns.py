"""Columns of the data: features, and the fields of sequences."""

import dataclasses
import functools
from typing import Annotated, Any, Literal, NamedTuple

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


class _Only:
    """Annotation of a column's option: the kinds of columns that have it."""

    def __init__(self, *kinds):
        self.kinds = kinds


class _Needed(_Only):
    """Annotation of an option that columns of these kinds must have."""


class ColumnOption(NamedTuple):
    """An option of columns, as returned by `column_options`.

    Args:
        kinds: Tuple. Kinds of columns that have the option.
        is_needed: Boolean. Whether these columns must have it.
        default: Value of the option if it is not given.
    """

    kinds: tuple
    is_needed: bool
    default: Any


@functools.cache
def column_options(cls: type["Column"]) -> dict[str, ColumnOption]:
    """Returns the options of a class of columns that depend on the kind, by name.

    Example:

    >>> column_options(Feature)["weights"]
    ColumnOption(kinds=('multi_value',), is_needed=False, default=None)
    """
    return {
        field.name: ColumnOption(mark.kinds, isinstance(mark, _Needed), field.default)
        for field in dataclasses.fields(cls)
        for mark in getattr(field.type, "__metadata__", ())
        if isinstance(mark, _Only)
    }


@section
class Column:
    """Base of features, fields of sequences and resolved fields.

    Which options a column has depends on its kind, which each subclass declares.

    Args:
        name: String of letters, digits and underscores.
        column: String. Name of the data column. Defaults to `None`, which means `name`.
        lookup: `Lookup` of a categorical, multi_value or cross column.
        table: String. Name of the embedding table. Defaults to `None`: a separate table.
        transform: Steps for a numeric column. Defaults to `()`.
        default: Replaces missing values. Defaults to `None`: id 1, or an error for numbers.
        weights: String. Column with a weight for each value of a multi_value column.
        max_values: Integer. Number of values to keep, the first ones. Defaults to `16`.
        separator: String that splits text cells into lists. Defaults to `"|"`.
        size: Integer. Width of a vector column.
        num_buckets: Integer. Number of buckets of an elapsed_time column. Defaults to `32`.
        unit: Unit of elapsed time: `"second"`, `"minute"`, `"hour"` or `"day"`. Defaults to
            `"second"`.
    """

    name: Name
    column: Text | None = None
    lookup: Annotated[Lookup | None, _Needed("categorical", "multi_value", "cross")] = None
    table: Annotated[
        Name | None, _Only("categorical", "numeric", "multi_value", "cross", "elapsed_time")
    ] = None
    transform: Annotated[Transform, _Only("numeric")] = ()
    default: Annotated[
        Integer | Number | AnyText | None, _Only("categorical", "numeric", "multi_value")
    ] = None
    weights: Annotated[Text | None, _Only("multi_value")] = None
    max_values: Annotated[MaxValues, _Only("multi_value")] = 16
    separator: Annotated[Text, _Only("multi_value", "vector")] = "|"
    size: Annotated[Width | None, _Needed("vector")] = None
    num_buckets: Annotated[NumBuckets, _Only("elapsed_time")] = 32
    unit: Annotated[Unit, _Only("elapsed_time")] = "second"

    @property
    def data_column(self) -> str:
        """Name of the column in the data."""
        return self.column if self.column is not None else self.name

    @property
    def bucketize(self) -> Bucketize | None:
        """The `Bucketize` step that ends the transform, or `None`."""
        last = self.transform[-1] if self.transform else None
        return last if isinstance(last, Bucketize) else None

    @property
    def has_ids(self) -> bool:
        """Whether values are mapped to ids (of an embedding table) rather than numbers."""
        if self.kind == "numeric":
            return self.bucketize is not None
        return self.kind != "vector"

    @property
    def options_of_kind(self) -> tuple[str, ...]:
        """Names of the options that the column's kind has."""
        options = column_options(type(self))
        return tuple(key for key, option in options.items() if self.kind in option.kinds)

    @property
    def needs_statistics(self) -> bool:
        """Whether a step of the transform is learned from the training data."""
        named = any(step in ("standardize", "min_max") for step in self.transform)
        return named or (self.bucketize is not None and self.bucketize.learned)


def check_column(column: Column) -> None:
    """Raises `Problem` if options do not fit the kind of a feature or field, or are missing."""
    kind = column.kind
    for key, option in column_options(type(column)).items():
        is_given = getattr(column, key) != option.default
        if is_given and kind not in option.kinds:
            kinds = " or ".join(option.kinds)
            raise Problem(
                (key,),
                f"`{key}` must be given for kind {kinds} only. Received: `{key}` for kind {kind}",
            )
        if option.is_needed and kind in option.kinds and not is_given:
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
    check_distinct(column.of)
    if column.lookup.hash is None:
        raise Problem(
            ("lookup", column.lookup.method),
            f"`lookup` of a cross must be `hash`. Received: {column.lookup.method}",
        )
    if column.column is not None:
        raise Problem(
            ("column",),
            "`column` must not be given for kind cross, which is made of features."
            f" Received: column={column.column!r}",
        )


def check_distinct(of: tuple[str, ...]) -> None:
    """Raises `Problem` if a cross is of a column twice."""
    for index, name in enumerate(of):
        if name in of[:index]:
            raise Problem(("of", index), f"`of` must not repeat. Received: {name!r} twice")


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
class Feature(Column):
    """A column of the data, and how to read it.

    Args:
        role: `"user"`, `"item"` (the candidate), `"context"` or `"cross"`.
        kind: `"categorical"`, `"numeric"`, `"multi_value"`, `"cross"`, `"elapsed_time"` or
            `"vector"`.
        of: Names of the features that a cross feature combines. Defaults to `()`.
        **options: Arguments of `Column`.
    """

    role: Role
    kind: Kind
    of: Annotated[tuple[Name, ...], _Needed("cross")] = ()

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_column(self)
        return self

    @property
    def key(self) -> str:
        """The feature's name in `Assets`."""
        return self.name

    def relevant_keys(self) -> tuple[str, ...]:
        """Names of the arguments that apply to this kind, in the order of a file."""
        column = () if self.kind == "cross" else ("column",)
        return ("name", "role", "kind", *column, *self.options_of_kind)


@section
class Field(Column):
    """A field of a sequence, either `like` a feature or with its own kind.

    Args:
        like: String. Name of the feature whose kind and options are used.
        kind: Kind of a `Feature` except `"cross"`. Defaults to `None`, with `like`.
        **options: Arguments of `Column`. The data column holds lists. With `like`, only `column`
            and `weights` may be given.
    """

    like: Name | None = None
    kind: Literal["categorical", "numeric", "multi_value", "elapsed_time", "vector"] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.like is None and self.kind is None:
            raise Problem((), "a field must have `like` or `kind`. Received: neither")
        if self.like is None:
            check_column(self)
            return self
        for key in LIKED_KEYS:
            if getattr(self, key) != getattr(Field, key):
                raise Problem(
                    (key,),
                    f"`{key}` must not be given with `like`, which sets it."
                    f" Received: like={self.like!r} and `{key}`",
                )
        return self

    def relevant_keys(self) -> tuple[str, ...]:
        """Names of the arguments that apply to this field, in the order of a file."""
        if self.like is not None:
            return ("name", "column", "like", "weights")
        return ("name", "column", "kind", *self.options_of_kind)


# Options that a field inherits from the feature that it is like. The weights of a history are in a
# separate column.
LIKED_KEYS = ("kind", *(key for key in column_options(Field) if key != "weights"))


@section
class ResolvedField(Column):
    """A field of a sequence with the options of the feature it is `like`.

    Returned by `FeatureSpec.resolved_field`; has the same attributes as a `Feature`.

    Args:
        sequence: String. Name of the sequence.
        like: String. Name of the feature it is like. Defaults to `None`.
        kind: Kind of a `Field`.
        role: `"sequence"`. Defaults to `"sequence"`.
        of: Empty. Defaults to `()`.
        **options: Arguments of `Column`.
    """

    sequence: Name
    like: Name | None = None
    kind: Kind
    role: Literal["sequence"] = "sequence"
    of: tuple[()] = ()

    @property
    def key(self) -> str:
        """The field's name in `Assets`: that of the feature it is like, or `"SEQUENCE.FIELD"`."""
        return self.like if self.like is not None else f"{self.sequence}.{self.name}"

    @property
    def of_pairs(self) -> bool:
        """Whether values depend on the row as well as on the event, as the time since it does."""
        return self.kind == "elapsed_time"


@section
class EventCross:
    """A combination of fields of an event, which has a vector beside those of the fields.

    Each combination of their ids has an id, without collisions. Models compute it from the ids of
    the fields, so that data and requests do not contain it.

    Args:
        name: String, unique among the fields and crosses of the sequence.
        of: Names of two or more fields of the sequence that have one id per event: categorical, or
            numeric with `bucketize`.
        table: String. Name of the embedding table, with a row for each combination. Defaults to
            `None`: a separate table.
    """

    name: Name
    of: Annotated[tuple[Name, ...], pydantic.Field(min_length=2)]
    table: Name | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_distinct(self.of)
        return self


@section
class ResolvedCross(EventCross):
    """A cross of fields with the name of its sequence.

    Returned by `FeatureSpec.event_crosses`.

    Args:
        sequence: Name of the sequence.
        **options: Arguments of `EventCross`.
    """

    sequence: Name

    @property
    def key(self) -> str:
        """The name of the cross among all columns, `"SEQUENCE.CROSS"`."""
        return f"{self.sequence}.{self.name}"
