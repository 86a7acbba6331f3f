"""Encoding of Arrow tables as rows of a feature spec."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import (
    as_float32,
    as_lists,
    as_numbers,
    as_times,
    one_chunk,
    pick_lists,
)
from lmn_tf.data.encoding.column_encoder import ColumnEncoder
from lmn_tf.data.encoding.elapsed_time import check_elapsed, elapsed_ids
from lmn_tf.data.encoding.hashing import group_ids, splitmix64
from lmn_tf.data.encoding.id_keys import as_keys
from lmn_tf.data.encoding.ragged import Ragged, starts_of
from lmn_tf.data.encoding.row_block import Pairs, RowBlock, SequenceRows
from lmn_tf.data.encoding.source_location import RowNumbers, SourceLocation
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID


class TableEncoder:
    """Encoder of tables of rows: features, histories, labels, weights and groups.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.
        stores: Mapping from the name of each sequence by reference to its `EventStore`.
        labels: Boolean. Whether labels and row weights are read. Defaults to `True`.
        histories: Boolean. Whether sequences are read. Defaults to `True`.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        stores: Mapping[str, Any],
        labels: bool = True,
        histories: bool = True,
    ) -> None:
        self.spec = spec
        self.sequences = spec.sequences if histories else ()
        self.stores = stores
        self.labels = labels
        self._features = {
            column.name: ColumnEncoder(spec, column)
            for column in spec.features
            if column.kind != "cross"
        }
        self._user_features = tuple(
            column.name for column in spec.features if column.role == "user"
        )
        self._fields = {
            sequence.name: {
                field.name: ColumnEncoder(spec, spec.resolved_field(sequence, field))
                for field in sequence.fields
            }
            for sequence in self.sequences
            if sequence.events is None
        }

    def encode(
        self, table: pa.Table, file: str, rows: RowNumbers, unknown: dict[str, int] | None = None
    ) -> RowBlock:
        """Returns the encoded rows of a table.

        Args:
            table: Arrow table with the columns of the spec.
            file: Path of its file.
            rows: Number of the first row in the file, or array of the number of each.
            unknown: Dictionary to which the number of unknown ids of each column is added, if there
                are any. Missing values are not among them. Defaults to `None`: they are not
                counted.

        Raises:
            UserError: If a value breaks a rule of the spec.
        """
        reader = _Columns(table, file, rows, unknown)
        request = self._request(reader)
        return self._block(reader, request, self._histories(reader, request))

    def encode_features(
        self,
        table: pa.Table,
        file: str,
        first_row: int,
        roles: Collection[str] | None = None,
        unknown: dict[str, int] | None = None,
    ) -> RowBlock:
        """Returns the encoded rows of a table without their histories.

        Args:
            table: Arrow table with the columns of the spec except those of sequences.
            file: Path of its file.
            first_row: Number of rows of the file before the table.
            roles: Roles of the features that are wanted, without the group. Defaults to `None`:
                all features, and the group.
            unknown: As of `encode`. Defaults to `None`.

        Raises:
            UserError: If a value breaks a rule of the spec.
        """
        reader = _Columns(table, file, first_row, unknown)
        return self._block(reader, self._request(reader), {}, roles)

    def encode_histories(
        self, table: pa.Table, file: str, unknown: dict[str, int] | None = None
    ) -> dict[str, SequenceRows]:
        """Returns the encoded histories of a table, by sequence.

        Args:
            table: Arrow table with the columns of the sequences, and the request time.
            file: Path of its file.
            unknown: As of `encode`. Events that are read by reference are not counted. Defaults to
                `None`.

        Raises:
            UserError: If a value breaks a rule of the spec.
        """
        reader = _Columns(table, file, 0, unknown)
        return self._histories(reader, self._request(reader))

    def _block(self, reader, request, sequences, roles=None):
        wanted = [column for column in self.spec.features if roles is None or column.role in roles]
        crosses = [column for column in wanted if column.kind == "cross"]
        needed = {column.name for column in wanted} | {n for cross in crosses for n in cross.of}
        features = {}
        for name, encoder in self._features.items():
            if name in needed:
                features[name] = self._feature(encoder, reader, request)
        for column in crosses:
            features[column.name] = cross_ids([features[n] for n in column.of], column.lookup.hash)
        features = {column.name: features[column.name] for column in wanted}
        if self.spec.group is not None and roles is None:
            values, location = reader.column(self.spec.group)
            features["group"] = group_ids(as_keys(values, location))
        labels, weights = self._targets(reader)
        return RowBlock(features, sequences, labels, weights, self._user_features)

    def _histories(self, reader, request):
        return {
            sequence.name: self._sequence(sequence, reader, request) for sequence in self.sequences
        }

    def _request(self, reader):
        if self.spec.request_time is None:
            return None
        unit = self.spec.time_unit or "second"
        return as_times(*reader.column(self.spec.request_time), unit)

    def _feature(self, encoder, reader, request):
        values, location = reader.column(encoder.data_column)
        weights = None
        if encoder.column.weights is not None:
            weights, _ = reader.column(encoder.column.weights)
        encoded = encoder.encode(values, location, weights)
        if encoder.kind == "elapsed_time":
            check_elapsed(request, encoded, location)
            return elapsed_ids(request, encoded, encoder.column.unit, encoder.column.num_buckets)
        return encoded

    def _sequence(self, sequence, reader, request):
        if sequence.events is not None:
            store = self.stores[sequence.name]
            users = reader.column(sequence.events.user)
            counts = reader.column(sequence.events.count)
            return store.rows(sequence, users, counts, request)
        newest = sequence.keep == "newest"
        fields, first, all_lengths, kept_lengths = {}, None, None, None
        for name, encoder in self._fields[sequence.name].items():
            values, location = reader.column(encoder.data_column)
            flat, lengths = as_lists(values, location)
            if first is None:
                first, all_lengths = encoder.data_column, lengths
            elif not np.array_equal(lengths, all_lengths):
                at = int(np.argmax(lengths != all_lengths))
                raise location.error(
                    at,
                    f"the list must be as long as that of `{first}` ({int(all_lengths[at])})",
                    f"{int(lengths[at])} values",
                )
            flat, kept_lengths, index = pick_lists(flat, lengths, sequence.max_length, newest)
            events = location.within(kept_lengths)
            weights = self._event_weights(encoder, reader, all_lengths, index)
            encoded = encoder.encode(flat, events, weights)
            if encoder.kind == "elapsed_time":
                moments = np.repeat(request, kept_lengths)
                check_elapsed(moments, encoded, events)
                column = encoder.column
                encoded = Pairs(elapsed_ids(moments, encoded, column.unit, column.num_buckets))
            fields[name] = encoded
        return SequenceRows(starts_of(kept_lengths), kept_lengths.astype(np.int32), fields)

    def _event_weights(self, encoder, reader, lengths, index):
        if encoder.column.weights is None:
            return None
        values, location = reader.column(encoder.column.weights)
        flat, weight_lengths = as_lists(values, location)
        if not np.array_equal(weight_lengths, lengths):
            at = int(np.argmax(weight_lengths != lengths))
            raise location.error(
                at,
                f"the list must be as long as that of `{encoder.data_column}` ({int(lengths[at])})",
                f"{int(weight_lengths[at])} values",
            )
        return flat if index is None else flat.take(pa.array(index))

    def _targets(self, reader):
        if not self.labels:
            return None, None
        labels = [self._label(label, reader) for label in self.spec.labels]
        weights = None
        if self.spec.weight is not None:
            values, location = reader.column(self.spec.weight)
            weights = as_numbers(values, location)
            good = np.isfinite(weights) & (weights >= 0)
            if not good.all():
                at = int(np.argmin(good))
                raise location.error(at, "a row's weight must be 0 or more", float(weights[at]))
            weights = as_float32(weights, location, "a row's weight")
        return np.stack(labels, axis=1), weights

    def _label(self, label, reader):
        values, location = reader.column(label.data_column)
        numbers = as_numbers(values, location)
        good = (numbers == 0) | (numbers == 1)
        if not good.all():
            at = int(np.argmin(good))
            received = float(numbers[at])
            raise location.error(
                at,
                f"label `{label.name}` must be 0 or 1",
                int(received) if received.is_integer() else received,
            )
        return numbers.astype(np.float32)


class _Columns:
    """Columns of a table with their source locations."""

    def __init__(self, table, file, rows, unknown):
        self.table = table
        self.file = file
        self.rows = rows
        self.unknown = unknown

    def column(self, name):
        location = SourceLocation.of_rows(self.file, name, self.rows, self.unknown)
        return one_chunk(self.table.column(name)), location


def cross_ids(parts: list, num_buckets: int) -> np.ndarray | Ragged:
    """Returns `2 + h mod num_buckets`, where `h` chains splitmix64 over the parts' ids.

    If a part consists of lists, each of its values is crossed with the others. If a part is padding
    (id 0), so is the cross. Ids are hashed instead of raw values (our choice), so that buckets and
    vocabularies can be crossed as well.

    Args:
        parts: List of int32 arrays, at most one of them a `Ragged`.
        num_buckets: Integer.

    Returns:
        int32 array, or a `Ragged` of the shape of the part with lists.
    """
    lists = next((part for part in parts if isinstance(part, Ragged)), None)
    hashes, padding = np.uint64(0), False
    for part in parts:
        ids = part.values if isinstance(part, Ragged) else part
        if lists is not None and not isinstance(part, Ragged):
            ids = np.repeat(ids, lists.lengths)
        hashes = splitmix64(hashes ^ ids.astype(np.uint64))
        padding = padding | (ids == 0)
    ids = (hashes % np.uint64(num_buckets)).astype(np.int32) + np.int32(FIRST_ID)
    ids = np.where(padding, np.int32(0), ids)
    if lists is None:
        return ids
    return Ragged(ids, lists.starts, lists.lengths)
