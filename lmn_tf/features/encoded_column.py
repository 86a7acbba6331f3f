"""Shapes of the columns of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.specs.errors import did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec, Table


@dataclasses.dataclass(frozen=True)
class EncodedColumn:
    """Shape and embedding table of one column of a batch.

    Args:
        key: String. The column's key in the features dictionary.
        width: Integer. Width of the column's vector.
        table: Name of its embedding table; `None` for numbers and given vectors.
        rank: Integer. Axes of a cell: 0 for one id or number, 1 for a list of ids or a vector.
            Defaults to `0`.
        weights: Key of the weights of a list, or `None`. Defaults to `None`.
        of_pairs: Boolean. Whether a field of a sequence depends on the row as well as on the event,
            as the time between them does. Defaults to `False`.

    Example:

    >>> EncodedColumn("price", width=1, table=None).rank
    0
    """

    key: str
    width: int
    table: str | None
    rank: int = 0
    weights: str | None = None
    of_pairs: bool = False

    @classmethod
    def from_column(cls, spec: FeatureSpec, column: Any, key: str) -> EncodedColumn:
        """Describes a feature of the spec, or a resolved field of one of its sequences.

        Args:
            spec: `FeatureSpec` that holds the column.
            column: Feature, or resolved field of a sequence.
            key: String. The column's key in the features dictionary.

        Returns:
            `EncodedColumn`.
        """
        if column.kind == "vector":
            return cls(key, width=column.size, table=None, rank=1)
        if not column.has_ids:
            return cls(key, width=1, table=None)
        name, table = spec.table_of(column)
        return cls(
            key,
            width=table.dim,
            table=name,
            rank=int(_is_list(spec, column)),
            weights=f"{key}/weights" if column.weights is not None else None,
            of_pairs=getattr(column, "of_pairs", False),
        )


def _is_list(spec, column):
    """Whether a cell holds several ids; a cross holds one for each value of a crossed list."""
    parts = (spec.feature(name) for name in column.of)
    return column.kind == "multi_value" or any(_is_list(spec, part) for part in parts)


@dataclasses.dataclass(frozen=True)
class RequestSignature:
    """The columns of one user and many candidates, each a dictionary of `tf.TensorSpec`.

    Args:
        user: User features, `(1, ...)`.
        events: Fields of sequences that depend on the event alone, `(events, ...)`.
        pairs: Fields of sequences that depend on the time of the request as well, `(events, ...)`.
        candidates: All other features, `(candidates, ...)`.

    Example:

    >>> empty = RequestSignature({}, {}, {}, {"item": tf.TensorSpec((None,), tf.int32, "item")})
    >>> sorted(empty.columns)
    ['item']
    """

    user: dict[str, tf.TensorSpec]
    events: dict[str, tf.TensorSpec]
    pairs: dict[str, tf.TensorSpec]
    candidates: dict[str, tf.TensorSpec]

    @property
    def columns(self) -> dict[str, tf.TensorSpec]:
        """All columns."""
        return {**self.user, **self.events, **self.pairs, **self.candidates}


def column_specs(
    columns: Iterable[EncodedColumn], lead: tuple[int | None, ...]
) -> dict[str, tf.TensorSpec]:
    """Returns the `tf.TensorSpec` of columns and of their weights.

    Args:
        columns: `EncodedColumn`s.
        lead: Tuple of the axes before those of a cell.
    """
    specs = {}
    for column in columns:
        width = column.width if column.table is None else None
        shape = lead + (width,) * column.rank
        dtype = tf.float32 if column.table is None else tf.int32
        specs[column.key] = tf.TensorSpec(shape, dtype, column.key)
        if column.weights is not None:
            specs[column.weights] = tf.TensorSpec(shape, tf.float32, column.weights)
    return specs


def read_tables(
    spec: FeatureSpec, names: Iterable[str | None], known: Mapping[str, int]
) -> tuple[dict[str, Table], dict[str, int]]:
    """Returns tables of a spec, in the order of the columns, and their numbers of rows.

    Args:
        spec: `FeatureSpec`.
        names: Names of the tables.
        known: Mapping from the names of tables to numbers of rows, which override those of `spec`.
    """
    columns = [column for column in spec.features_and_fields() if column.has_ids]
    names = set(names)
    tables = dict(spec.table_of(column) for column in columns)
    tables = {name: table for name, table in tables.items() if name in names}
    sizes = {name: known.get(name, 0) for name in tables}
    for column in columns:
        name, _ = spec.table_of(column)
        if name in sizes and name not in known:
            sizes[name] = max(sizes[name], spec.input_size(column))
    return tables, sizes


def read_column(features: Mapping[str, Any], key: str, rank: int) -> tf.Tensor:
    """Returns a column of a batch as a tensor.

    Args:
        features: Dictionary of the columns of a batch.
        key: String. Key of the column.
        rank: Integer. Number of its axes.

    Raises:
        ValueError: If the column is missing, or has another number of axes.
    """
    if key not in features:
        raise ValueError(
            f"`features` must hold the column `{key}`. Received: keys={sorted(features)}."
            f"{did_you_mean(key, features)}"
        )
    values = tf.convert_to_tensor(features[key])
    if values.shape.rank is not None and values.shape.rank != rank:
        raise ValueError(
            f"`features[{key!r}]` must have {rank} axes. Received: shape={tuple(values.shape)}"
        )
    return values
