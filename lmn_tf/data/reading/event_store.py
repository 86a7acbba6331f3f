"""Histories by reference: the events of all users, encoded once."""

import os
import tempfile
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.column_encoder import ColumnEncoder
from lmn_tf.data.encoding.elapsed_time import check_elapsed
from lmn_tf.data.encoding.hashing import NO_GROUP, group_ids
from lmn_tf.data.encoding.id_keys import as_keys
from lmn_tf.data.encoding.ragged import Ragged, starts_of
from lmn_tf.data.encoding.row_block import SequenceRows, Times
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.event_file import EventFile
from lmn_tf.specs.feature_spec import FeatureSpec


class DiskArray:
    """Array in a file, written by appending and then mapped into memory read-only.

    Args:
        path: String. Path of the new file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = open(path, "wb")
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = None

    def append(self, values: np.ndarray) -> None:
        """Appends values of the same dtype and width."""
        self._shape, self._dtype = values.shape[1:], values.dtype
        self._file.write(np.ascontiguousarray(values).data)
        self._rows += len(values)

    def close(self) -> None:
        """Closes the file for writing."""
        self._file.close()

    def finish(self) -> np.ndarray:
        """Returns all values."""
        self.close()
        shape = (self._rows, *self._shape)
        if 0 in shape:  # an empty file cannot be mapped
            mapped = np.zeros(shape, self._dtype)
        else:
            mapped = np.memmap(self._path, dtype=self._dtype, mode="r", shape=shape)
        os.unlink(self._path)  # the map keeps the space until it is dropped
        return np.asarray(mapped)


class EventStore:
    """Encoded fields of the events of a sequence, in mapped temporary files.

    A row has its user and the number of the user's events before it; its history consists of the
    newest (or oldest) `max_length` of these. Users are in memory, events are not.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.
        sequence: `Sequence` with `events`.
        folder: Folder that the path of the events file is relative to.

    Raises:
        UserError: If the file is missing, damaged or unsorted, or a value breaks a rule of the
            spec.
    """

    def __init__(self, spec: FeatureSpec, sequence: Any, folder: str) -> None:
        self.file = EventFile.of(sequence, folder)
        self._encoders = {}
        for field in sequence.fields:
            encoder = ColumnEncoder(spec, spec.resolved_field(sequence, field))
            self._encoders[field.name] = encoder
        self._clocks: dict[str, _Clock] = {}
        self._user_keys: np.ndarray | None = None
        columns = [column for e in self._encoders.values() for column in e.columns]
        self.file.check_columns(columns)
        with tempfile.TemporaryDirectory(prefix="lmn_tf_events_") as scratch:
            self.fields = self._encode_all(scratch, tuple(dict.fromkeys(columns)))

    def rows(
        self,
        sequence: Any,
        users: tuple[pa.Array, SourceLocation],
        counts: tuple[pa.Array, SourceLocation],
        request: np.ndarray | None,
    ) -> SequenceRows:
        """Returns the histories of rows.

        Args:
            sequence: The `Sequence`.
            users: Arrow array of users, and its `SourceLocation`.
            counts: Arrow array with the number of events before each row, and its `SourceLocation`.
            request: int64 microseconds of the rows, or `None`.

        Raises:
            UserError: If a user is unknown, a count exceeds the events of the user, or an event is
                later than the request.
        """
        first, available = self.file.find(*users)
        precede = self.file.checked_counts(counts, users, available)
        last = np.maximum(first + precede - 1, 0)
        for name, clock in self._clocks.items():
            newest = clock.newest(self.fields[name].values, last)
            check_elapsed(request, np.where(precede > 0, newest, MISSING_TIME), counts[1])
        owners = self._owners(users, first, available)
        lengths = np.minimum(precede, sequence.max_length)
        if sequence.keep == "newest":
            first = first + precede - lengths
        request = request if self._clocks else None
        return SequenceRows(first, lengths.astype(np.int32), self.fields, request, owners)

    def user_keys(self, owners: np.ndarray) -> np.ndarray:
        """Returns a number for each user that is the same in all events files.

        Args:
            owners: int64 array `(rows,)`. The `users` of `SequenceRows` of this store.

        Returns:
            int64 array `(rows,)` of negative hashes.
        """
        if self._user_keys is None:
            self._user_keys = group_ids(self.file.users) | NO_GROUP
        known = np.searchsorted(self.file.starts, owners)
        return np.where(owners < 0, owners, self._user_keys.take(known, mode="clip"))

    def _owners(self, users, first, available):
        """Returns a number for each user: the first event, or a negative hash for none."""
        unknown = np.flatnonzero(available == 0)
        if not len(unknown):
            return first
        owners = first.copy()
        keys = as_keys(users[0].take(pa.array(unknown)), users[1])
        owners[unknown] = group_ids(keys) | NO_GROUP
        return owners

    def _encode_all(self, scratch, columns):
        paths = {name: os.path.join(scratch, name) for name in self._encoders}
        writers = {name: _FieldWriter(path) for name, path in paths.items()}
        for name, encoder in self._encoders.items():
            if encoder.kind == "elapsed_time":
                self._clocks[name] = _Clock(paths[name], self.file.starts)
        try:
            for row, batch in self.file.batches(columns):
                for name in self._encoders:
                    writers[name].append(self._encode(name, batch, row))
            fields = {name: writer.finish() for name, writer in writers.items()}
            for clock in self._clocks.values():
                clock.finish()
        finally:
            for writer in (*writers.values(), *self._clocks.values()):
                writer.close()
        for name in self._clocks:
            column = self._encoders[name].column
            fields[name] = Times(fields[name], column.unit, column.num_buckets)
        return fields

    def _encode(self, name, batch, row):
        encoder = self._encoders[name]
        location = SourceLocation.of_rows(self.file.path, encoder.data_column, row)
        weights = None
        if encoder.column.weights is not None:
            weights = batch.column(encoder.column.weights)
        encoded = encoder.encode(batch.column(encoder.data_column), location, weights)
        if name in self._clocks:
            self._clocks[name].add(encoded, row, location)
        return encoded


class _Clock:
    """Checks the order of the times of a field, and knows the newest time of a user at any event.

    Events without a time keep that of the events before them: without it, they would hide from the
    checks that an earlier event is too late.
    """

    def __init__(self, path, starts):
        self._starts = starts
        self._last = MISSING_TIME
        self._events, self._times = DiskArray(f"{path}.untimed"), DiskArray(f"{path}.newest")

    def add(self, times, row, location):
        """Adds the times of the next events, or raises a `UserError` if one is too early."""
        begin, end = np.searchsorted(self._starts, [row, row + len(times)])
        firsts = self._starts[begin:end] - row
        known = times != MISSING_TIME
        kept = known.copy()
        kept[firsts] = True  # nothing is carried over from one user to the next
        sources = np.maximum.accumulate(np.where(kept, np.arange(1, len(times) + 1), 0))
        newest = np.append(self._last, times).take(sources)
        before = np.append(self._last, newest[:-1])
        before[firsts] = MISSING_TIME
        earlier = np.flatnonzero(known & (times < before))
        if len(earlier):
            raise location.error(
                int(earlier[0]),
                "events must be sorted by user, then time",
                "an earlier time than in a row before",
            )
        self._last = newest[-1]
        untimed = np.flatnonzero(~known)
        self._events.append(untimed + row)
        self._times.append(newest.take(untimed))

    def newest(self, times, events):
        """Returns the newest time of a user up to each of some events, given the times of all."""
        newest = times.take(events)
        untimed = np.flatnonzero(newest == MISSING_TIME)
        newest[untimed] = self._carried.take(np.searchsorted(self._untimed, events[untimed]))
        return newest

    def finish(self):
        self._untimed, self._carried = self._events.finish(), self._times.finish()

    def close(self):
        self._events.close()
        self._times.close()


class _FieldWriter:
    """Writes the encoded events of one field."""

    def __init__(self, path):
        self._path = path
        self._arrays: dict[str, DiskArray] = {}

    def append(self, encoded):
        if not isinstance(encoded, Ragged):
            self._append("values", encoded)
            return
        self._append("lengths", encoded.lengths)
        self._append("values", encoded.values)
        if encoded.weights is not None:
            self._append("weights", encoded.weights)

    def _append(self, part, values):
        if part not in self._arrays:
            self._arrays[part] = DiskArray(f"{self._path}.{part}")
        self._arrays[part].append(values)

    def close(self):
        for array in self._arrays.values():
            array.close()

    def finish(self):
        arrays = {part: array.finish() for part, array in self._arrays.items()}
        if "lengths" not in arrays:
            return arrays["values"]
        starts = starts_of(arrays["lengths"])
        return Ragged(arrays["values"], starts, arrays["lengths"], arrays.get("weights"))
