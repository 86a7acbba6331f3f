"""Arrow file of the events of all users."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.arrow_values import as_numbers, one_chunk
from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.key_index import KeyIndex
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.checksum import FileState, verify_checksum
from lmn_tf.specs.errors import UserError, did_you_mean

_CHUNK_ROWS = 1 << 18


class EventFile:
    """Arrow IPC file of events, sorted by user, then time.

    The file is read instead of mapped, since truncation of a mapped file would crash the process.
    One record batch with the requested columns is in memory at a time. Data are validated, and the
    file is compared with its checksum file if there is one.

    Args:
        path: String. Path of the file.
        user: String. Name of the column of users.

    Raises:
        UserError: If the file is missing, damaged or changed while it is read, or if the events of
            a user are not together.
    """

    def __init__(self, path: str, user: str) -> None:
        self.path = path
        self.user = user
        if not os.path.isfile(path):
            raise UserError("the events file must exist. Received: no such file", file=path)
        self._state = FileState(path)
        verify_checksum(path)
        with self._reader() as reader, self._refused():
            self._names = reader.schema.names
        self.check_columns([user])
        self.starts, self.users, self.num_events = self._runs()
        self._index = KeyIndex(self.users)
        if not self.num_events:
            raise UserError("the events file must hold at least one row. Received: 0", file=path)

    @classmethod
    def of(cls, sequence: Any, folder: str) -> "EventFile":
        """Returns the file of a `Sequence` by reference, relative to `folder`."""
        return cls(os.path.join(folder, sequence.events.file), sequence.events.user)

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raises a `UserError` if one of `columns` is missing."""
        names = self._names
        for name in columns:
            if name not in names:
                raise UserError(
                    f"column `{name}` must be in the events file.{did_you_mean(name, names)} "
                    f"Received: {len(names)} other columns",
                    file=self.path,
                )
            if names.count(name) > 1:
                raise UserError(
                    f"column `{name}` must be in the events file once. "
                    f"Received: {names.count(name)} columns of that name",
                    file=self.path,
                )

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yields the number of the first row and the next rows, with only `columns`."""
        row = 0
        chosen = [self._names.index(name) for name in columns]
        with self._reader(chosen) as reader:
            for number in range(reader.num_record_batches):
                with self._refused():
                    batch = reader.get_batch(number).select(list(columns))
                    batch.validate(full=True)
                for start in range(0, batch.num_rows, _CHUNK_ROWS):
                    part = batch.slice(start, _CHUNK_ROWS)
                    yield row, part
                    row += part.num_rows
        self._state.check_unchanged()

    @contextlib.contextmanager
    def _reader(self, columns=None):
        options = pa.ipc.IpcReadOptions(included_fields=columns)
        with contextlib.ExitStack() as stack:
            with self._refused():
                file = stack.enter_context(pa.OSFile(self.path))
                reader = stack.enter_context(pa.ipc.open_file(file, options=options))
            yield reader

    @contextlib.contextmanager
    def _refused(self):
        """Converts errors of Arrow for a damaged file to a `UserError`."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            self._state.check_unchanged()
            raise UserError(
                "the events file must be a whole Arrow IPC file. "
                f"Received: {' '.join(str(error).split())}",
                file=self.path,
            ) from error

    def find(self, users: pa.Array, location: SourceLocation) -> tuple[np.ndarray, np.ndarray]:
        """Returns the first event and the number of events of each user; 0 for unknown users."""
        keys = as_keys(users, location)
        if pa.types.is_dictionary(keys.type):
            keys = as_texts(keys.dictionary_decode())
        positions = self._index.find(keys)
        ends = np.append(self.starts[1:], self.num_events)
        first = self.starts.take(np.maximum(positions, 0))
        available = np.where(positions < 0, 0, ends.take(np.maximum(positions, 0)) - first)
        return np.where(positions < 0, 0, first), available

    def checked_counts(
        self,
        counts: tuple[pa.Array, SourceLocation],
        users: tuple[pa.Array, SourceLocation],
        available: np.ndarray,
    ) -> np.ndarray:
        """Returns the counts as int64, after checking them against the available events."""
        values, location = counts
        numbers = as_numbers(values, location)
        wrong = ~(np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers)))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise location.error(
                at, "a number of events must be a whole number of 0 or more", float(numbers[at])
            )
        many = numbers > available
        if many.any():
            at = int(np.argmax(many))
            user = users[0][at].as_py()
            if available[at] == 0:
                raise users[1].error(at, f"the user must be in {self.path}", user)
            raise location.error(
                at,
                f"the count must be at most {int(available[at])}, the events of user {user!r} "
                f"in {self.path}",
                int(numbers[at]),
            )
        return numbers.astype(np.int64)

    def _runs(self):
        starts, users, total = [], [], 0
        last = None
        for row, batch in self.batches([self.user]):
            location = SourceLocation.of_rows(self.path, self.user, row)
            keys = as_keys(one_chunk(batch.column(0)), location)
            if pa.types.is_dictionary(keys.type):
                keys = as_texts(keys.dictionary_decode())
            if keys.null_count:
                at = int(np.argmax(pc.is_null(keys).to_numpy(zero_copy_only=False)))
                raise location.error(at, "an event must have a user", None)
            changes = pc.not_equal(keys.slice(1), keys.slice(0, len(keys) - 1))
            changes = np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1
            if str(keys[0]) != last:
                changes = np.append(0, changes)
            starts.append(changes + row)
            users.append(keys.take(pa.array(changes)))
            last = str(keys[len(keys) - 1])
            total += len(keys)
        if not total:
            return np.zeros(0, np.int64), pa.array([], pa.int64()), 0
        all_starts = np.concatenate(starts).astype(np.int64)
        if len({keys.type for keys in users}) > 1:
            users = [as_texts(keys) for keys in users]
        all_users = pa.concat_arrays(users)
        coded = all_users.dictionary_encode()
        if len(coded.dictionary) < len(all_users):
            seen = coded.indices.to_numpy()
            again = int(np.flatnonzero(seen[1:] <= np.maximum.accumulate(seen)[:-1])[0]) + 1
            raise SourceLocation.of_rows(self.path, self.user, 0).error(
                int(all_starts[again]),
                "events must be sorted by user: all of one user's together",
                all_users[again].as_py(),
            )
        return all_starts, all_users, total
