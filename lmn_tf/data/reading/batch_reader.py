"""Reader of batches of encoded rows as NumPy arrays, in a reproducible order."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.source_location import rows_from
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.formats import Unit, match_files, open_files
from lmn_tf.data.reading.event_store import EventStore
from lmn_tf.data.reading.events_folder import events_folder
from lmn_tf.data.reading.row_groups import RowGroups
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.data.reading.unfamiliar_values import UnfamiliarValues
from lmn_tf.data.reading.unit_order import UnitOrder
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

_READ_ROWS = 8_192


class BatchReader:
    """Reader of batches from data files, encoded by a feature spec.

    Rows are read in windows. Without shuffling, they are in the order of the files. With shuffling,
    the order of units (Parquet row groups, CSV and TFRecord files) in an epoch is drawn from (seed,
    epoch), and that of each window of at least `shuffle_buffer` rows from (seed, epoch, window). So
    the batches of an epoch depend on the seed only, for any start, and whole units before the start
    are skipped without decoding. A background thread decodes the next window. Two windows are in
    memory; data that fit into one window are decoded once.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.
        files: Glob, path, or list of them.
        batch_size: Integer. Number of rows per batch. Defaults to `512`.
        shuffle: Boolean. Defaults to `False`.
        seed: Integer in `[0, 2**64)` or `None`. Seed of the order. Defaults to `None`: 0.
        shuffle_buffer: Integer. Number of rows that are shuffled, or gathered by user, together.
            Defaults to `100_000`.
        rows_per_group: Integer. Maximum number of rows of one user that are read together, in the
            order of time; see `make_dataset`. Defaults to `1`.
        shard: Pair `(index, count)`. Part of the rows to read. Units are distributed if there are
            at least `count`, otherwise the rows of each unit are split into `count` parts. Every
            row is in exactly one shard. Defaults to `(0, 1)`.
        drop_remainder: Boolean. Whether the last, smaller batch is dropped. Defaults to `False`.
        limit: Integer, the number of rows to use, from the first; or `RowLimit`. Defaults to
            `None`: all.
        labels: Boolean. Whether labels and row weights are read. Defaults to `True`.
        histories: Boolean. Whether sequences are read; otherwise their columns and event files need
            not exist. Defaults to `True`.

    Raises:
        UserError: If no file matches, if a file or column is missing or damaged, if a vocabulary or
            statistic is missing, or if nothing identifies users with `rows_per_group`.

    Attributes:
        stores: Dictionary from each sequence by reference to its `EventStore`.
        unfamiliar_values: `UnfamiliarValues` of the rows of the first epoch that is read from its
            start, as far as it was read.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        batch_size: int = 512,
        shuffle: bool = False,
        seed: int | None = None,
        shuffle_buffer: int = 100_000,
        shard: tuple[int, int] = (0, 1),
        drop_remainder: bool = False,
        limit: int | RowLimit | None = None,
        labels: bool = True,
        histories: bool = True,
        rows_per_group: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
        if rows_per_group < 1:
            raise ValueError(
                f"`rows_per_group` must be at least 1. Received: rows_per_group={rows_per_group}"
            )
        self.spec = spec
        self.batch_size = batch_size
        self.rows_per_group = rows_per_group
        self.drop_remainder = drop_remainder
        self.has_labels = labels
        self.sequences = spec.sequences if histories else ()
        if rows_per_group > 1:
            self._check_users()
        self.is_sharded = shard[1] > 1
        self.columns = spec.columns(labels=labels, histories=histories)
        units = open_spec_files(spec, files)
        for unit in units:
            unit.check_columns(self.columns)
        folder = events_folder([unit.path for unit in units], self.sequences)
        self.stores = {
            sequence.name: EventStore(spec, sequence, folder)
            for sequence in self.sequences
            if sequence.events is not None
        }
        self._encoder = TableEncoder(spec, self.stores, labels, histories)
        window = shuffle_buffer if shuffle or rows_per_group > 1 else _READ_ROWS
        # Windows consist of whole batches, so that no batch needs rows of two windows.
        self._window = max(-(-window // batch_size), 1) * batch_size
        self._order = UnitOrder(units, shuffle, seed or 0, self._window, shard, limit)
        self._kept: tuple | None = None
        self.unfamiliar_values = UnfamiliarValues(spec)

    @property
    def num_rows(self) -> int:
        """Number of rows of an epoch, after `shard` and `limit`."""
        return self._order.num_rows

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches of an epoch."""
        if self.drop_remainder:
            return self.num_rows // self.batch_size
        return -(-self.num_rows // self.batch_size)

    def read(self, epoch: int = 0, start_batch: int = 0) -> Iterator[tuple]:
        """Yields the batches of an epoch.

        Args:
            epoch: Integer. Number of the epoch, which determines the order. Defaults to `0`.
            start_batch: Integer. Number of the first batch. Defaults to `0`.

        Yields:
            `(features, labels, weights)`: a dict of arrays, float32 `(batch, labels)` or `None`,
            float32 `(batch,)` or `None`.
        """
        window, skip = divmod(start_batch * self.batch_size, self._window)
        for block, rows in self._windows(epoch, window):
            for start in range(skip, len(rows), self.batch_size):
                batch_rows = rows[start : start + self.batch_size]
                if self.drop_remainder and len(batch_rows) < self.batch_size:
                    return
                yield block.batch(batch_rows)
            skip = 0

    def blocks(self) -> Iterator[RowBlock]:
        """Yields the encoded rows of the first epoch in blocks, without an order within a block.

        Blocks can be joined by `RowBlock.join`. Nothing is read in advance.
        """
        for _, block, *_ in self._blocks(epoch=0, first=0):
            yield block

    def _check_users(self):
        """Raises a `UserError` if no column that is read identifies users."""
        by_reference = any(sequence.events is not None for sequence in self.sequences)
        users = any(feature.role == "user" for feature in self.spec.features)
        if not (by_reference or users or self.spec.group is not None):
            raise UserError(
                "`rows_per_group` must be 1 if no column identifies users: neither a "
                "history by reference nor `group` nor a feature of role user. "
                f"Received: rows_per_group={self.rows_per_group}"
            )

    def _windows(self, epoch, first):
        """Yields blocks and the order of their rows; the next block is read in advance."""
        if not self.num_rows:
            return
        if self._order.is_one_window:
            if self._kept is None:
                self._kept = next(self._blocks(epoch, 0))[1:]
            if first == 0:
                block, *window = self._kept
                yield block, self._order.row_order(epoch, 0, *window)
            return
        blocks = self._blocks(epoch, first)
        with ThreadPoolExecutor(1, "lmn_tf_reader") as pool:
            following = pool.submit(next, blocks, None)
            while (current := following.result()) is not None:
                following = pool.submit(next, blocks, None)
                number, block, *window = current
                yield block, self._order.row_order(epoch, number, *window)

    def _blocks(self, epoch, first):
        """Yields number, encoded block, row count and groups of each window from `first`."""
        parts, rows = [], 0
        is_counted = first == 0 and not self.unfamiliar_values.is_complete
        if is_counted:  # an epoch that was left before its end was counted in part
            self.unfamiliar_values.clear()
        for unit, table, numbers in self._order.tables(epoch, first * self._window, self.columns):
            start = 0
            while start < table.num_rows:
                piece = table.slice(start, self._window - rows)
                parts.append(self._encoder.encode(piece, unit.path, rows_from(numbers, start)))
                start, rows = start + len(piece), rows + len(piece)
                if rows == self._window:
                    yield first, *self._joined(parts, rows, is_counted)
                    parts, rows, first = [], 0, first + 1
        if rows:
            yield first, *self._joined(parts, rows, is_counted)
        self.unfamiliar_values.is_complete |= is_counted

    def _joined(self, parts, rows, is_counted):
        block = RowBlock.join(parts)
        if is_counted:
            self.unfamiliar_values.add(block)
        if self.rows_per_group == 1:
            return block, rows, None
        return block, rows, RowGroups.of_users(*block.users(), self.rows_per_group)


def open_spec_files(
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    others: Sequence[str] = (),
) -> list[Unit]:
    """Opens data files with the types of the spec's lists, numbers and ids.

    Columns in `others` that are not in the spec are read as text.
    """
    numbers = [label.data_column for label in spec.labels]
    if spec.weight is not None:
        numbers.append(spec.weight)
    for feature in spec.features:
        if feature.kind in ("numeric", "vector"):
            numbers.append(feature.data_column)
        numbers += [feature.weights] if feature.weights is not None else []
    for sequence in spec.sequences:
        if sequence.events is not None:
            numbers.append(sequence.events.count)
            continue
        for field in sequence.fields:
            column = spec.resolved_field(sequence, field)
            numbers += [column.data_column] if column.kind == "numeric" else []
    texts = [name for name in others if name not in spec.columns()]
    texts += spec.id_columns() if spec.assets.text_ids else ()
    return open_files(match_files(files), _separators(spec), numbers, texts, spec.assets.delimiter)


def _separators(spec) -> dict[str, str | None]:
    """Returns the separator of each column of lists; `None` where it has readers that differ.

    These have the cells as text, which each feature splits itself, or takes as one value.
    """
    separators: dict[str, set] = {}
    for name, separator in _readers(spec):
        separators.setdefault(name, set()).add(separator)
    return {
        name: next(iter(found)) if len(found) == 1 else None
        for name, found in separators.items()
        if found != {None}
    }


def _readers(spec):
    """Yields data columns, and the separator with which they are read; `None` for one value."""
    for name in (spec.group, spec.request_time, spec.weight):
        yield name, None
    for label in spec.labels:
        yield label.data_column, None
    for feature in spec.features:
        if feature.kind != "cross":
            is_list = feature.kind in ("multi_value", "vector")
            yield feature.data_column, feature.separator if is_list else None
        if feature.weights is not None:
            yield feature.weights, feature.separator
    for sequence in spec.sequences:
        if sequence.events is not None:
            yield sequence.events.user, None
            yield sequence.events.count, None
            continue
        for field in sequence.fields:
            column = spec.resolved_field(sequence, field)
            yield column.data_column, column.separator
