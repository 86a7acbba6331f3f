"""Rows and events of a data set as flat arrays of ids."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from lmn_tf.data.encoding.hashing import NO_GROUP, splitmix64
from lmn_tf.data.encoding.ragged import Ragged, flat_index
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.models.terms.columns import Columns
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID

_BATCH_ROWS = 8_192
_USER = "group of user"  # no feature can have this name


@dataclasses.dataclass
class Interactions:
    """Rows with their candidate, user, labels and history.

    Args:
        items: int32 array `(rows,)`. Ids of the candidates.
        users: int64 array `(rows,)`. The same number for rows of one user in all files; `NO_GROUP`
            for rows without a user.
        labels: float32 array `(rows, labels)`.
        weights: float32 array `(rows,)`, or `None`: 1.
        groups: int64 array `(rows,)`, or `None`: the spec names no group.
        starts: int64 array `(rows,)`. First event of each row's history.
        lengths: int32 array `(rows,)`. Number of events of each row's history.
        event_items: int32 array `(events,)`. Ids of the items of events, oldest first.
        event_outcomes: float32 array `(events,)`, NaN for events whose outcome is unknown; or
            `None`: none is known.
    """

    items: np.ndarray
    users: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    groups: np.ndarray | None
    starts: np.ndarray
    lengths: np.ndarray
    event_items: np.ndarray
    event_outcomes: np.ndarray | None

    @classmethod
    def read(
        cls,
        spec: FeatureSpec,
        columns: Columns,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        limit: int | RowLimit | None = None,
    ) -> "Interactions":
        """Reads the rows of data files.

        Args:
            spec: `FeatureSpec` with all vocabularies.
            columns: `Columns` of the spec.
            files: Glob, path, or list of them.
            limit: Integer, the number of rows to read, from the first; or `RowLimit`. Defaults to
                `None`: all.

        Raises:
            UserError: As in `BatchReader`.
        """
        histories = columns.sequence is not None
        reader = BatchReader(spec, files, _BATCH_ROWS, limit=limit, histories=histories)
        blocks = [_only(block, columns, spec, reader.stores) for block in reader.blocks()]
        if not blocks:
            return cls.empty(len(spec.labels))
        block = RowBlock.join(blocks)
        rows = len(block.labels)
        starts, lengths = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
        events, outcomes = np.zeros(0, np.int32), None
        if histories:
            history = block.sequences[columns.sequence.name]
            starts, lengths = history.starts, history.lengths
            events = history.fields[columns.events]
            if columns.outcome is not None:
                ids = history.fields[columns.outcome]
                outcomes = np.where(ids < FIRST_ID, np.nan, ids - FIRST_ID).astype(np.float32)
        return cls(
            block.features[columns.item.name],
            block.features[_USER],
            block.labels,
            block.weights,
            block.features.get("group"),
            starts,
            lengths,
            events,
            outcomes,
        )

    @classmethod
    def empty(cls, labels: int = 1) -> "Interactions":
        """Returns no rows.

        Args:
            labels: Integer. Number of labels. Defaults to `1`.
        """
        ids, counts = np.zeros(0, np.int32), np.zeros(0, np.int64)
        values = np.zeros((0, labels), np.float32)
        return cls(ids, counts, values, None, None, counts, ids, ids, None)

    @classmethod
    def join(cls, parts: "Sequence[Interactions]") -> "Interactions":
        """Joins the rows of data that have the same columns, and their events.

        Args:
            parts: At least one `Interactions`.
        """
        if len(parts) == 1:
            return parts[0]
        names = [field.name for field in dataclasses.fields(cls) if field.name != "starts"]
        values = {name: [getattr(part, name) for part in parts] for name in names}
        firsts = np.cumsum([0, *(len(events) for events in values["event_items"][:-1])])
        starts = [part.starts + first for part, first in zip(parts, firsts, strict=True)]
        joined = {
            name: None if any(one is None for one in some) else np.concatenate(some)
            for name, some in values.items()
        }
        return cls(starts=np.concatenate(starts), **joined)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def row_weights(self) -> np.ndarray:
        """The weights of rows, float64 `(rows,)`."""
        return np.ones(len(self)) if self.weights is None else self.weights.astype(np.float64)

    def weighted(self) -> "Interactions":
        """Returns the rows with a weight above 0: others count as if they were not there."""
        return self if self.weights is None else self.take(np.flatnonzero(self.weights > 0))

    def take(self, rows: np.ndarray) -> "Interactions":
        """Returns some of the rows, with the events of all.

        Args:
            rows: int64 array. Indices of rows.
        """
        names = ("items", "users", "labels", "weights", "groups", "starts", "lengths")
        columns = {name: getattr(self, name) for name in names}
        return dataclasses.replace(
            self, **{name: c.take(rows, axis=0) for name, c in columns.items() if c is not None}
        )

    def row_events(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns each event of each history, as often as rows read it.

        Returns:
            int64 arrays: indices of the events, row by row, and the row of each.
        """
        events = flat_index(self.starts, self.lengths)
        return events, np.repeat(np.arange(len(self)), self.lengths)

    def events_read(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns each event of the histories once, with its user.

        Returns:
            int64 arrays: indices of the events that any row reads, and the user of each.
        """
        rows = np.flatnonzero(self.lengths)
        if not len(rows):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        rows = rows[np.argsort(self.starts[rows], kind="stable")]
        starts, stops = self.starts[rows], self.starts[rows] + self.lengths[rows]
        steps = np.zeros(len(self.event_items) + 1, np.int64)
        np.add.at(steps, starts, 1)
        np.add.at(steps, stops, -1)
        events = np.flatnonzero(np.cumsum(steps[:-1]))
        # Events of a user are consecutive: the window that begins last before one is its user's.
        owners = np.searchsorted(starts, events, side="right") - 1
        return events, self.users[rows[owners]]


def _only(block, columns, spec, stores):
    """Returns a block with the candidate, the user, the group and the items of events."""
    features = {columns.item.name: block.features[columns.item.name]}
    features[_USER] = _users(block, columns, spec, stores)
    if "group" in block.features:
        features["group"] = block.features["group"]
    sequences = {}
    if columns.sequence is not None:
        name = columns.sequence.name
        kept = (columns.events, columns.outcome)
        fields = {key: block.sequences[name].fields[key] for key in kept if key is not None}
        sequences[name] = dataclasses.replace(block.sequences[name], fields=fields, request=None)
    return RowBlock(features, sequences, block.labels, block.weights)


def _users(block, columns, spec, stores):
    """Returns the user of each row, equal in all blocks and files."""
    if columns.user is not None:
        ids = block.features[columns.user.name].astype(np.int64)
        return np.where(ids < FIRST_ID, NO_GROUP, ids)
    for name, history in block.sequences.items():
        if history.users is not None:
            return stores[name].user_keys(history.users)
    if "group" in block.features:
        return block.features["group"]
    ids = {name: block.features[name] for name in block.user_features}
    ids = {
        name: one
        for name, one in ids.items()
        if not isinstance(one, Ragged) and one.dtype == np.int32
    }
    if not ids:
        return np.full(len(block.labels), NO_GROUP)
    keys = np.zeros(len(block.labels), np.uint64)
    for one in ids.values():
        keys = splitmix64(keys ^ one.astype(np.uint64))
    # The feature with the most ids tells users apart: who has none there could be anyone.
    main = max(ids, key=lambda name: spec.input_size(spec.feature(name)))
    return np.where(ids[main] < FIRST_ID, NO_GROUP, keys.view(np.int64))
