"""Blocks of encoded rows, from which batches are gathered."""

import dataclasses

import numpy as np

from lmn_tf.data.encoding.elapsed_time import elapsed_ids
from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.data.encoding.ragged import (
    Ragged,
    equal_items,
    equal_lists,
    flat_index,
    item_codes,
    join,
    starts_of,
)

_BLOCK = 1 << 14


@dataclasses.dataclass
class Times:
    """Times of shared events, which become ids of pairs with the request time of a row.

    Args:
        values: int64 microseconds, one per event.
        unit: Unit of the buckets.
        num_buckets: Number of buckets.
    """

    values: np.ndarray
    unit: str
    num_buckets: int

    def elapsed(self, request: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Returns the ids of all pairs, row after row.

        Args:
            request: int64 microseconds `(rows,)`.
            starts: int64 array `(rows,)`. First event of each row.
            lengths: int32 array `(rows,)`. Number of events of each row.
        """
        ids = np.empty(int(lengths.sum()), np.int32)
        step, done = max(_BLOCK // max(int(lengths.max(initial=0)), 1), 1), 0
        # In chunks of rows, whose intermediate arrays fit the processor's cache.
        for row in range(0, len(lengths), step):
            part = slice(row, row + step)
            times = self.values.take(flat_index(starts[part], lengths[part]))
            moments = np.repeat(request[part], lengths[part])
            some = elapsed_ids(moments, times, self.unit, self.num_buckets)
            ids[done : done + len(some)] = some
            done += len(some)
        return ids


@dataclasses.dataclass
class Pairs:
    """Ids of the pairs of a row and an event of its list.

    Args:
        values: int32 array, one per event.
    """

    values: np.ndarray


@dataclasses.dataclass
class SequenceRows:
    """Histories: row `i` has the events `starts[i] : starts[i] + lengths[i]` of every field.

    Args:
        starts: int64 array `(rows,)`.
        lengths: int32 array `(rows,)`.
        fields: Mapping from field to its events: an array or a `Ragged`, or `Times` or `Pairs` if
            the values depend on the row.
        request: int64 microseconds `(rows,)` if a field is `Times`. Defaults to `None`.
        users: int64 array `(rows,)` of the users whose history a row reads, for histories by
            reference, whose fields are the events of all users. Defaults to `None`: rows have
            separate lists.
    """

    starts: np.ndarray
    lengths: np.ndarray
    fields: dict
    request: np.ndarray | None = None
    users: np.ndarray | None = None

    @classmethod
    def join(cls, parts: list["SequenceRows"]) -> "SequenceRows":
        """Returns the rows of all parts."""
        first = parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        if first.users is not None:
            request = None
            if first.request is not None:
                request = np.concatenate([part.request for part in parts])
            starts = np.concatenate([part.starts for part in parts])
            users = np.concatenate([part.users for part in parts])
            return cls(starts, lengths, first.fields, request, users)
        counts = starts_of(np.array([part.lengths.sum() for part in parts]))
        starts = [part.starts + count for part, count in zip(parts, counts, strict=True)]
        fields = {
            name: _join_fields([part.fields[name] for part in parts]) for name in first.fields
        }
        return cls(np.concatenate(starts), lengths, fields)

    def repeated(self, count: int) -> "SequenceRows":
        """Returns rows that share the events of the only row.

        Args:
            count: Integer. Number of rows.
        """
        return SequenceRows(
            np.repeat(self.starts, count),
            np.repeat(self.lengths, count),
            self.fields,
            None if self.request is None else np.repeat(self.request, count),
            users=np.zeros(count, np.int64),
        )

    def batch(self, rows: np.ndarray, alike: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the windows of some rows, and each of their events once.

        Consecutive rows share a run of events: by reference, if they continue in the events of one
        user; lists, if they are equal.

        Args:
            rows: int64 array. Indices of rows, in the order of the batch.
            alike: Boolean array. Whether a row may share events with the row before.

        Returns:
            Dictionary without the sequence's name: `first` and `length` `(rows,)`, fields
            `(events, ...)`, or `(pairs,)` if their values also depend on the row.
        """
        starts, lengths = self.starts.take(rows), self.lengths.take(rows)
        if self.users is None:
            joins = self._repeats(starts, lengths, alike)
        else:
            joins = _reads_on(starts, lengths, alike & _repeated(self.users.take(rows)))
        heads = np.flatnonzero(~joins)
        tails = np.flatnonzero(np.roll(~joins, -1))  # the first row begins a run
        run = np.cumsum(~joins) - 1
        pairs = starts
        if self.users is None:
            starts = starts[heads][run]
        run_starts = starts[heads]
        run_lengths = (starts + lengths)[tails] - run_starts  # ends of a run never decrease
        first = starts + (starts_of(run_lengths) - run_starts)[run]
        batch = {"first": first.astype(np.int32), "length": lengths}
        events = flat_index(run_starts, run_lengths)
        for name, field in self.fields.items():
            if isinstance(field, Times):
                batch[name] = field.elapsed(self.request.take(rows), pairs, lengths)
            elif isinstance(field, Pairs):
                batch[name] = field.values.take(flat_index(pairs, lengths))
            else:
                _put(batch, name, field, events)
        return batch

    def _repeats(self, starts, lengths, alike):
        """Returns whether the list of events of each row equals that of the row before."""
        rows = np.flatnonzero(alike & _repeated(lengths))
        for field in self.fields.values():
            if not isinstance(field, Pairs):
                equal = equal_lists(field, starts[rows], starts[rows - 1], lengths[rows])
                rows = rows[equal]
        repeats = np.zeros(len(starts), bool)
        repeats[rows] = True
        return repeats


@dataclasses.dataclass
class RowBlock:
    """A window of encoded rows.

    Args:
        features: Mapping from feature (or `"group"`) to an array or a `Ragged`.
        sequences: Mapping from sequence to its `SequenceRows`.
        labels: float32 array `(rows, labels)`, or `None`.
        weights: float32 array `(rows,)`, or `None`.
        user_features: Names of the features of role user. Defaults to `()`.
    """

    features: dict
    sequences: dict
    labels: np.ndarray | None
    weights: np.ndarray | None
    user_features: tuple[str, ...] = ()

    @classmethod
    def join(cls, parts: list["RowBlock"]) -> "RowBlock":
        """Returns the rows of all parts, ready for `batch`."""
        first = parts[0]
        return cls(
            {name: join([part.features[name] for part in parts]) for name in first.features},
            {
                name: SequenceRows.join([part.sequences[name] for part in parts])
                for name in first.sequences
            },
            None if first.labels is None else np.concatenate([part.labels for part in parts]),
            None if first.weights is None else np.concatenate([part.weights for part in parts]),
            first.user_features,
        )

    def batch(
        self, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray | None]:
        """Returns `(features, labels, weights)` of some rows of a joined block.

        Args:
            rows: int64 array. Indices of rows, in the order of the batch.
        """
        features: dict[str, np.ndarray] = {}
        for name, values in self.features.items():
            _put(features, name, values, rows)
        alike = self._alike(rows) if self.sequences else None
        for name, sequence in self.sequences.items():
            for field, values in sequence.batch(rows, alike).items():
                features[f"{name}/{field}"] = values
        labels = None if self.labels is None else self.labels.take(rows, axis=0)
        weights = None if self.weights is None else self.weights.take(rows)
        return features, labels, weights

    def users(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns what identifies the user of each row, and what sorts the rows of a user by time.

        Users are identified by the first history by reference, whose events are sorted by time;
        otherwise by the group, otherwise by the features of role user.

        Returns:
            int64 `(rows,)`, equal for rows of one user; int64 `(rows,)`, number of the event before
            which a row lies, or 0 where the order is not known.
        """
        history = next((rows for rows in self.sequences.values() if rows.users is not None), None)
        key = self.features.get("group") if history is None else history.users
        if key is None:
            users = _combined([item_codes(self.features[name]) for name in self.user_features])
        else:
            users = np.unique(key, return_inverse=True)[1]
            unknown = np.flatnonzero(key == NO_GROUP)
            users[unknown] = len(users) + unknown
        if history is None:
            return users, np.zeros(len(users), np.int64)
        return users, history.starts + history.lengths

    def _alike(self, rows):
        """Returns whether each row has the user features of the row before; false for the first."""
        alike = np.arange(len(rows)) > 0
        for name in self.user_features:
            alike[1:] &= equal_items(self.features[name], rows[1:], rows[:-1])
        return alike


def _reads_on(starts, lengths, same):
    """Returns whether each window continues that of the row before, without a gap.

    Starts and ends of the windows of a run never decrease, so that rows with the same event are
    consecutive.

    Args:
        starts: int64 array `(rows,)`.
        lengths: int32 array `(rows,)`.
        same: Boolean array `(rows,)`. Whether a row may share events with the row before.
    """
    same = same.copy()
    ends = starts + lengths
    same[1:] &= (starts[1:] >= starts[:-1]) & (starts[1:] <= ends[:-1]) & (ends[1:] >= ends[:-1])
    return same


def _combined(codes):
    """Returns codes that are equal where all of the codes of two rows are."""
    combined, *others = codes
    for other in others:
        pairs = combined * (int(other.max(initial=0)) + 1) + other
        combined = np.unique(pairs, return_inverse=True)[1]
    return combined


def _repeated(values):
    """Returns whether each value equals the one before."""
    repeated = np.zeros(len(values), bool)
    repeated[1:] = values[1:] == values[:-1]
    return repeated


def _put(batch, name, values, items):
    if not isinstance(values, Ragged):
        batch[name] = values.take(items, axis=0)
        return
    batch[name], weights = values.padded(items)
    if weights is not None:
        batch[f"{name}/weights"] = weights


def _join_fields(parts):
    if isinstance(parts[0], Pairs):
        return Pairs(np.concatenate([part.values for part in parts]))
    return join(parts)
