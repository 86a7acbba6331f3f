"""Shapes of the columns of a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from lmn_tf.specs.feature_spec import FeatureSpec


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
    names = column.of
    if column.kind == "cross" and getattr(column, "like", None) is not None:
        names = spec.feature(column.like).of
    return column.kind == "multi_value" or any(_is_list(spec, spec.feature(name)) for name in names)


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
