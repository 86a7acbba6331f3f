"""Batches of encoded rows as NumPy arrays, in a reproducible and resumable order."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.formats import Unit, match_files, open_files
from lmn_tf.data.reading.event_store import EventStore
from lmn_tf.data.reading.unit_order import UnitOrder
from lmn_tf.specs.feature_spec import FeatureSpec

_READ_ROWS = 8_192


class BatchReader:
    """Streams batches from data files, encoded by a feature spec.

    Rows are read in windows. Unshuffled, the rows keep the order of the files. Shuffled, an epoch
    puts the units (Parquet row groups, CSV and TFRecord files) into an order drawn from (seed,
    epoch), and each window of at least `shuffle_buffer` rows into one drawn from (seed, epoch,
    window). So the batches of an epoch follow from the seed alone, wherever reading starts, and
    whole units before the start are skipped undecoded. The next window is decoded in a background
    thread. Memory holds two windows; data that fit into one window are decoded once.

    Args:
        spec: `FeatureSpec` whose vocabularies and statistics are learned.
        files: Glob, path, or list of them.
        batch_size: Integer. Rows of a batch. Defaults to `512`.
        shuffle: Boolean. Defaults to `False`.
        seed: Integer or `None`. Seed of the order. Defaults to `None`: 0.
        shuffle_buffer: Integer. Rows that are shuffled at once. Defaults to `100_000`.
        shard: Pair `(index, count)`: this reader's part of the rows. Units are dealt out where
            there are as many as workers, else the rows of each unit are cut into `count` parts.
            Over all shards every row comes exactly once. Defaults to `(0, 1)`.
        drop_remainder: Boolean. Whether the last, smaller batch is left out. Defaults to `False`.
        limit: Integer or `None`. Only the first rows are used. Defaults to `None`: all.
        labels: Boolean. Whether labels and row weights are read. Defaults to `True`.
        histories: Boolean. Whether sequences are read; without them their columns and event files
            need not exist. Defaults to `True`.

    Raises:
        UserError: No file matches, a file or a column is missing or broken, or something is still
            to be learned.
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
        limit: int | None = None,
        labels: bool = True,
        histories: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}")
        self.spec = spec
        self.batch_size = batch_size
        self.drop_remainder = drop_remainder
        self.has_labels = labels
        self.sequences = spec.sequences if histories else ()
        self.is_sharded = shard[1] > 1
        self.columns = spec.columns(labels=labels, histories=histories)
        units = open_spec_files(spec, files)
        for unit in units:
            unit.check_columns(self.columns)
        folder = os.path.dirname(units[0].path)
        stores = {
            sequence.name: EventStore(spec, sequence, folder)
            for sequence in self.sequences
            if sequence.events is not None
        }
        self._encoder = TableEncoder(spec, stores, labels, histories)
        window = shuffle_buffer if shuffle else _READ_ROWS
        # Windows hold whole batches, so no batch needs rows of two windows.
        self._window = max(-(-window // batch_size), 1) * batch_size
        self._order = UnitOrder(units, shuffle, seed or 0, self._window, shard, limit)
        self._kept: RowBlock | None = None

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, after `shard` and `limit`."""
        return self._order.num_rows

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch."""
        if self.drop_remainder:
            return self.num_rows // self.batch_size
        return -(-self.num_rows // self.batch_size)

    def read(self, epoch: int = 0, start_batch: int = 0) -> Iterator[tuple]:
        """Yields the batches of an epoch.

        Args:
            epoch: Integer. Number of the epoch, which decides the order. Defaults to `0`.
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

    def _windows(self, epoch, first):
        """Yields blocks and the order of their rows, one block ahead of the reader."""
        if not self.num_rows:
            return
        if self._order.is_one_window:
            if self._kept is None:
                self._kept = next(self._blocks(epoch, 0))[1]
            if first == 0:
                yield self._kept, self._order.row_order(epoch, 0, self.num_rows)
            return
        blocks = self._blocks(epoch, first)
        with ThreadPoolExecutor(1, "lmn_tf_reader") as pool:
            following = pool.submit(next, blocks, None)
            while (window_rows := following.result()) is not None:
                following = pool.submit(next, blocks, None)
                window, block, rows = window_rows
                yield block, self._order.row_order(epoch, window, rows)

    def _blocks(self, epoch, first):
        """Yields the number, the encoded block and the row count of each window from `first`."""
        parts, rows, window = [], 0, first
        for unit, table, row in self._order.tables(epoch, first * self._window, self.columns):
            start = 0
            while start < table.num_rows:
                piece = table.slice(start, self._window - rows)
                parts.append(self._encoder.encode(piece, unit.path, row + start))
                rows += piece.num_rows
                start += piece.num_rows
                if rows == self._window:
                    yield window, RowBlock.join(parts), rows
                    parts, rows, window = [], 0, window + 1
        if rows:
            yield window, RowBlock.join(parts), rows


def open_spec_files(
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    others: Sequence[str] = (),
) -> list[Unit]:
    """Opens data files with the types of the spec's lists, numbers and ids.

    Columns in `others` that are not in the spec are read as text.
    """
    lists, numbers = {}, [label.data_column for label in spec.labels]
    if spec.weight is not None:
        numbers.append(spec.weight)
    for feature in spec.features:
        if feature.kind in ("multi_value", "vector"):
            lists[feature.data_column] = feature.separator
            if feature.weights is not None:
                lists[feature.weights] = feature.separator
        if feature.kind in ("numeric", "vector"):
            numbers.append(feature.data_column)
        numbers += [feature.weights] if feature.weights is not None else []
    for sequence in spec.sequences:
        if sequence.events is not None:
            numbers.append(sequence.events.count)
            continue
        for field in sequence.fields:
            column = spec.resolved_field(sequence, field)
            lists[column.data_column] = column.separator
            numbers += [column.data_column] if column.kind == "numeric" else []
    texts = [name for name in others if name not in spec.columns()]
    texts += spec.id_columns() if spec.assets.text_ids else ()
    return open_files(match_files(files), lists, numbers, texts, spec.assets.delimiter)
