"""Layer that embeds the encoded columns of a batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.features.crossed_ids import CrossedIds
from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.features.encoded_column import (
    EncodedColumn,
    RequestSignature,
    column_specs,
    read_column,
    read_tables,
)
from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.ops.sequence.by_event import by_event
from lmn_tf.ops.sequence.combinations import Combinations
from lmn_tf.ops.sequence.shared_window import SharedWindow
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.ops.sequence.windows import Windows
from lmn_tf.specs.feature_spec import FeatureSpec

ROLES = ("user", "item", "context", "cross")


@keras.saving.register_keras_serializable(package="lmn_tf")
class FeatureEncoder(keras.layers.Layer):
    """Embeds every feature of a spec and concatenates them by role.

    Ids are looked up in the embedding table of their column; columns with the same table name share
    a table. A list of ids is reduced to one vector by the table's combiner. Numbers and given
    vectors are passed through.

    The events of a sequence are embedded in the space of the candidate: fields that are `like` an
    item feature are concatenated in the order of the fields, and `"target"` holds the same features
    of the candidate in the same order. All other fields (elapsed time, for example) are projected
    to that width and added, and so are the crosses of fields. A sequence without a field like an
    item feature sums its projected fields at the spec's `embedding_dim`, and its target is a
    projection of the item group. Both are our choices. Padded steps hold the embeddings of their
    ids: use `"mask"` to exclude them.

    Widths are known before any data: `widths` maps each role to the width of its group, and
    `"histories"` to a dictionary of the widths of the sequences.

    Args:
        spec: `FeatureSpec` whose vocabularies are known, or the dictionary it is made from.
        histories: Boolean. Whether sequences are encoded. Defaults to `True`.
        roles: Tuple of the roles whose features are encoded; others have the width 0. Defaults to
            `None`: all roles.
        sizes: Mapping from table name to number of rows, which overrides what `spec` knows.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        features: Dictionary of the batch's columns, ids as integers. Shapes are `(batch,)`, with
            `values` or `size` as last axis for lists and vectors. Sequences are in the form that
            `make_dataset` yields, events and the windows of the rows into them; or padded, with
            `SEQUENCE/mask` `(batch, length)` and `length` as second axis of their fields. Where all
            rows are candidates of one user, sequences may come without windows, fields as
            `(events, ...)`, and user features as `(1, ...)`: see `request_signature`. Other keys
            are ignored.

    Returns:
        Dictionary with `"user"`, `"item"`, `"context"` and `"cross"`, float tensors of shape
        `(batch, widths[role])` where a width may be 0, and `"histories"`: for each sequence a
        dictionary of `"history"` `(batch, length, width)`, `"mask"` `(batch, length)`,
        `"target"` `(batch, width)` and `"ids"`: for each item feature that a field with ids is
        like, the pair of the events' ids `(batch, length)` and the candidate's `(batch,)`, with
        `values` as last axis for lists.

    Raises:
        ValueError: If a column is missing or has another number of axes.
        UserError: If the spec has vocabularies that are still to be learned.

    Example:

    >>> encoder = FeatureEncoder(spec)
    >>> sorted(encoder.widths)
    ['context', 'cross', 'histories', 'item', 'user']
    """

    def __init__(
        self,
        spec: FeatureSpec | dict[str, Any],
        histories: bool = True,
        roles: Sequence[str] | None = None,
        sizes: Mapping[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.from_dict(spec)
        self.histories = histories
        self.roles = tuple(role for role in ROLES if roles is None or role in roles)
        self._columns = {
            feature.name: EncodedColumn.from_column(self.spec, feature, feature.name)
            for feature in self.spec.features
            if feature.role in self.roles
        }
        self._roles = {role: [] for role in ROLES}
        for feature in self.spec.features:
            if feature.role in self.roles:
                self._roles[feature.role].append(self._columns[feature.name])
        sequences = self.spec.sequences if histories else ()
        self._events = {sequence.name: self._split(sequence) for sequence in sequences}
        self._tables, self.sizes = read_tables(self.spec, self._read_tables(), sizes or {})
        self._crosses = {sequence.name: [] for sequence in sequences}
        self._add_crosses()
        self.widths = {
            **{role: sum(c.width for c in columns) for role, columns in self._roles.items()},
            "histories": {name: self._event_width(name) for name in self._events},
        }
        self.tables = self._make_tables()
        self.projections = self._make_projections()

    def build(self, input_shape: Any = None) -> None:
        for table in self.tables.values():
            table.build()
        for name, (_, added) in self._events.items():
            for column in added:
                self.projections[column.key].build((None, column.width))
            for cross in self._crosses[name]:
                self.projections[cross.key].build((None, self._tables[cross.table].dim))
            if name in self.projections:
                self.projections[name].build((None, self.widths["item"]))
        self.built = True

    def call(self, features: dict[str, tf.Tensor]) -> dict[str, Any]:
        groups = self.encode(features)
        groups["histories"] = {
            name: history.as_padded() for name, history in groups["histories"].items()
        }
        return groups

    def encode(self, features: dict[str, tf.Tensor]) -> dict[str, Any]:
        """As a call, with each sequence as an `EncodedHistory`: its events once.

        Args:
            features: Dictionary of the batch's columns.

        Returns:
            Dictionary of the groups, and `"histories"`: a dictionary of `EncodedHistory`. Where all
            rows are candidates of one user, `"user"` is of shape `(1, widths["user"])`.
        """
        if not self.built:
            self.build()
        vectors = {name: self._encode(features, column) for name, column in self._columns.items()}
        batch = tf.shape(vectors[self._of_rows])[0]
        groups = {
            role: self._concat([vectors[column.key] for column in columns], batch)
            for role, columns in self._roles.items()
        }
        groups["histories"] = {
            name: self._history(name, features, vectors, groups["item"]) for name in self._events
        }
        return groups

    def encode_role(self, role: str, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the group of a role, `(batch, widths[role])`, from the columns of that role.

        Args:
            role: String. One of `"user"`, `"item"`, `"context"` and `"cross"`.
            features: Dictionary of the role's columns.
        """
        if not self.built:
            self.build()
        vectors = [self._encode(features, column) for column in self._roles[role]]
        return self._concat(vectors, 0)

    def columns_of(self, role: str) -> tuple[EncodedColumn, ...]:
        """Returns the columns of a role, in the order of its group."""
        return tuple(self._roles[role])

    def role_signature(self, role: str) -> dict[str, tf.TensorSpec]:
        """Returns the columns of a role as a dictionary of `tf.TensorSpec`."""
        return column_specs(self._roles[role], (None,))

    def signature(self, padded: bool = True) -> dict[str, tf.TensorSpec]:
        """Returns the columns that the encoder reads.

        Args:
            padded: Boolean. Whether sequences are in the padded form, else events and windows as
                `make_dataset` yields them. Defaults to `True`.

        Returns:
            Dictionary of `tf.TensorSpec`.
        """
        signature = {}
        for name in self._events:
            if padded:
                signature[f"{name}/mask"] = tf.TensorSpec((None, None), tf.bool, f"{name}/mask")
                continue
            for key in (f"{name}/first", f"{name}/length"):
                signature[key] = tf.TensorSpec((None,), tf.int32, key)
        fields = [column for name in self._events for column in self._fields(name)]
        signature |= column_specs(self._columns.values(), (None,))
        return signature | column_specs(fields, (None, None) if padded else (None,))

    def request_signature(self) -> RequestSignature:
        """Returns the columns that the encoder reads of one user and many candidates."""
        user, fields = self._roles["user"], [c for name in self._events for c in self._fields(name)]
        others = [column for column in self._columns.values() if column not in user]
        return RequestSignature(
            user=column_specs(user, (1,)),
            events=column_specs([column for column in fields if not column.of_pairs], (None,)),
            pairs=column_specs([column for column in fields if column.of_pairs], (None,)),
            candidates=column_specs(others, (None,)),
        )

    def windows(
        self, name: str, features: dict[str, tf.Tensor]
    ) -> tuple[ValidPositions, ValidPositions]:
        """Returns where the rows of a batch find the events of a sequence.

        Args:
            name: String. A sequence.
            features: Dictionary of the batch's columns.

        Returns:
            Pair of `Windows` into the events, and `Combinations` of the events with the fields that
            depend on the row as well. Twice the same where there are no such fields, where the
            sequence is padded (`ValidPositions`), and where it is of one user (`SharedWindow`).
        """
        first = features.get(f"{name}/first")
        if first is None and self._is_shared(name, features):
            events, rows = (features[key] for key in (self._fields(name)[0].key, self._of_rows))
            return (SharedWindow(tf.shape(events)[0], tf.shape(rows)[0]),) * 2
        if first is None:
            mask = tf.cast(read_column(features, f"{name}/mask", 2), tf.bool)
            return (ValidPositions(mask, mask),) * 2
        length = read_column(features, f"{name}/length", 1)
        num_events = tf.reduce_max(tf.concat([[0], first + length], axis=0))
        values = []
        for column in self._fields(name):
            cells = read_column(features, column.key, 1 + column.rank)
            if column.of_pairs:
                values.append(cells)
            else:
                num_events = tf.shape(cells)[0]
        windows = Windows(first, length, num_events)
        return windows, Combinations.of(windows, values) if values else windows

    def event_fields(self, name: str) -> tuple[tuple[str, int, str | None], ...]:
        """Returns which item features the events of a sequence are made of.

        Args:
            name: String. A sequence.

        Returns:
            Tuple of `(feature name, width, table name or None)`, in the order in which the vectors
            are concatenated in `"history"` and `"target"`; empty when no field is like an item
            feature.
        """
        alike, _ = self._events[name]
        return tuple((feature, column.width, column.table) for feature, column in alike)

    def _split(self, sequence):
        """Returns a sequence's columns: pairs of (like an item feature, its column), and others."""
        alike, added = [], []
        for field in sequence.fields:
            column = self.spec.resolved_field(sequence, field)
            encoded = EncodedColumn.from_column(self.spec, column, f"{sequence.name}/{field.name}")
            if field.like is not None and self.spec.feature(field.like).role == "item":
                alike.append((field.like, encoded))
            else:
                added.append(encoded)
        return alike, added

    def _add_crosses(self):
        """Adds the crosses of fields, whose tables have a size that follows from the fields."""
        for cross in self.spec.event_crosses():
            if cross.sequence in self._crosses:
                crossed = CrossedIds.of(self.spec, cross, self.sizes)
                self._crosses[cross.sequence].append(crossed)
                name, table = self.spec.table_of(cross)
                self._tables[name] = table
                self.sizes[name] = crossed.num_ids

    def _fields(self, name):
        """Returns all columns of a sequence."""
        alike, added = self._events[name]
        return [*(column for _, column in alike), *added]

    @functools.cached_property
    def _of_rows(self):
        """Name of a feature that has a value of each row, whatever the form of the batch."""
        others = (name for role in ROLES[1:] for name in self._names(role))
        return next(others, next(iter(self._columns)))

    def _names(self, role):
        return [column.key for column in self._roles[role]]

    def _event_width(self, name):
        alike, _ = self._events[name]
        return sum(column.width for _, column in alike) or self.spec.embedding_dim

    def _read_tables(self):
        """Names of the tables that the encoder's columns look up."""
        columns = list(self._columns.values())
        for name in self._events:
            columns += self._fields(name)
        return {column.table for column in columns}

    def _make_tables(self):
        return {
            name: EmbeddingTable(
                self.sizes[name],
                table.dim,
                combiner=table.combiner,
                initializer=table.initializer,
                initializer_scale=table.initializer_scale,
                regularizer=table.regularizer,
                placement=table.placement,
                dtype=self.dtype_policy,
                name=name,
            )
            for name, table in self._tables.items()
        }

    def _make_projections(self):
        projections = {}
        for name, (alike, added) in self._events.items():
            keys = [column.key for column in added]
            keys += [cross.key for cross in self._crosses[name]]
            if not alike and self.widths["item"]:
                keys.append(name)
            for key in keys:
                projections[key] = keras.layers.Dense(
                    self.widths["histories"][name],
                    use_bias=False,
                    dtype=self.dtype_policy,
                    name=f"{key.replace('/', '_')}_projection",
                )
        return projections

    def _encode(self, features, column, positions=None):
        """Returns the vectors `(batch, width)` of a column; with positions, of what they list."""
        values = self._flat(features, column.key, column.rank, positions)
        if column.table is None:
            values = tf.cast(values, self.compute_dtype)
            return values if column.rank else values[..., None]
        weights = None
        if column.weights is not None:
            weights = self._flat(features, column.weights, column.rank, positions)
        return self.tables[column.table](
            values, weights=weights, combine=column.rank > 0, **_counted(positions)
        )

    def _flat(self, features, key, rank, positions):
        """Returns a column with one leading axis."""
        if not isinstance(positions, (Windows, SharedWindow, type(None))):
            return positions.take(read_column(features, key, 2 + rank))
        values = read_column(features, key, 1 + rank)
        return positions.distinct(values) if isinstance(positions, Combinations) else values

    def _is_shared(self, name, features):
        """Returns whether a sequence comes as events that all rows share."""
        column = self._fields(name)[0]
        if f"{name}/mask" in features or column.key not in features:
            return False
        return tf.convert_to_tensor(features[column.key]).shape.rank == 1 + column.rank

    def _history(self, name, features, vectors, item):
        alike, _ = self._events[name]
        positions, combinations = self.windows(name, features)
        crossed = {
            cross: cross.ids([self._flat(features, key, 0, positions) for key in cross.fields])
            for cross in self._crosses[name]
        }
        events = self._part(name, features, positions, crossed)
        row_part = self._part(name, features, combinations)
        width = self.widths["histories"][name]
        if events is None:
            events = tf.zeros([positions.num_events, width], self.compute_dtype)
        if alike:
            target = self._concat([vectors[feature] for feature, _ in alike], 0)
        elif self.widths["item"]:
            target = self.projections[name](item)
        else:
            target = tf.zeros([positions.batch, width], self.compute_dtype)
        ids = {}
        for feature, column in alike:
            if column.table is not None:
                own = combinations if column.of_pairs else positions
                values = self._flat(features, column.key, column.rank, own)
                if not column.of_pairs:
                    values = combinations.combined(values)
                ids.setdefault(feature, (values, features[feature]))  # the first field counts
        crossed = {cross.key: combinations.combined(values) for cross, values in crossed.items()}
        events = by_event(events)
        return EncodedHistory(events, positions, row_part, combinations, target, ids, crossed)

    def _part(self, name, features, positions, crossed=None):
        """Returns what the fields of events, or those of pairs, add to the vectors, if anything."""
        alike, added = self._events[name]
        part, of_pairs = None, crossed is None
        if any(column.of_pairs == of_pairs for _, column in alike):
            part = self._concat(
                [
                    self._encode(features, column, positions)
                    if column.of_pairs == of_pairs
                    else tf.zeros([positions.num_events, column.width], self.compute_dtype)
                    for _, column in alike
                ],
                0,
            )
        for column in added:
            if column.of_pairs == of_pairs:
                one = self.projections[column.key](self._encode(features, column, positions))
                part = one if part is None else part + one
        for cross, ids in (crossed or {}).items():
            rows = self.tables[cross.table](ids, **_counted(positions))
            one = self.projections[cross.key](rows)
            part = one if part is None else part + one
        return part

    def _concat(self, parts, batch):
        if not parts:
            return tf.zeros((batch, 0), self.compute_dtype)
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": self.spec.to_dict(),
            "histories": self.histories,
            "roles": self.roles,
            "sizes": dict(self.sizes),
        }


def _counted(positions):
    """Returns the arguments of a table by which its regularizer counts events."""
    if positions is None:
        return {}
    return {"counts": positions.event_weights, "batch": positions.batch}
