"""Order of the units and rows of an epoch."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from lmn_tf.data.formats import Unit
from lmn_tf.data.reading.row_groups import RowGroups


class UnitOrder:
    """Order of units and rows in each epoch, for one shard of the data.

    Args:
        units: List of `Unit`, in the order of the files.
        shuffle: Boolean. Whether units and rows are permuted.
        seed: Integer.
        window: Integer. Number of rows that are permuted together.
        shard: Pair `(index, count)`.
        limit: Integer or `None`. Number of rows to use, from the first.
    """

    def __init__(
        self,
        units: list[Unit],
        shuffle: bool,
        seed: int,
        window: int,
        shard: tuple[int, int],
        limit: int | None,
    ) -> None:
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                f"`shard` must be (index, count), 0 <= index < count. Received: shard={shard}"
            )
        if limit is not None and limit < 1:
            raise ValueError(f"`limit` must be at least 1. Received: limit={limit}")
        self.shuffle = shuffle
        self._window = window
        self._entropy = (seed, index)
        # A part is (unit, start, stop). `stop` is None for a whole unit, whose rows need not be
        # counted before they are read.
        parts: list[tuple[Unit, int, int | None]] = [(unit, 0, None) for unit in units]
        if limit is not None:
            parts = _first_rows(parts, limit)
        if len(parts) >= count:
            parts = parts[index::count]
        else:
            parts = [_share(part, index, count) for part in parts]
        self._parts = parts
        self._num_rows: int | None = None

    @property
    def units(self) -> list[Unit]:
        """Units from which rows are read."""
        return [unit for unit, _, _ in self._parts]

    @property
    def num_rows(self) -> int:
        """Number of rows of an epoch."""
        if self._num_rows is None:
            self._num_rows = sum(_rows(part) for part in self._parts)
        return self._num_rows

    @property
    def is_one_window(self) -> bool:
        """Whether all rows fit into one window, which then stays in memory."""
        return self.num_rows <= self._window

    def row_order(
        self, epoch: int, window: int, rows: int, groups: RowGroups | None = None
    ) -> np.ndarray:
        """Returns the order of the `rows` rows of a window.

        Args:
            epoch: Integer.
            window: Integer. Number of the window in the epoch.
            rows: Integer.
            groups: `RowGroups`. Rows that stay together. Defaults to `None`: each row is a group.
        """
        if not self.shuffle:
            return np.arange(rows) if groups is None else groups.rows
        random = self._random(epoch, window + 1)
        if groups is None:
            return random.permutation(rows)
        return groups.in_order(random.permutation(len(groups)))

    def tables(
        self, epoch: int, skip: int, columns: Sequence[str]
    ) -> Iterator[tuple[Unit, pa.Table, int]]:
        """Yields (unit, table, row of the file) for an epoch without its first `skip` rows."""
        parts = self._parts
        if self.shuffle and not self.is_one_window:
            order = self._random(epoch, 0).permutation(len(parts))
            parts = [parts[i] for i in order]
        for part in parts:
            unit, start, stop = part
            if skip:
                rows = _rows(part)
                if skip >= rows:
                    skip -= rows
                    continue
            start, skip = start + skip, 0
            for table in unit.tables(columns, start, stop):
                yield unit, table, unit.first_row + start
                start += table.num_rows

    def _random(self, epoch, purpose):
        return np.random.default_rng([*self._entropy, epoch, purpose])


def _rows(part) -> int:
    unit, start, stop = part
    return (unit.rows if stop is None else stop) - start


def _first_rows(parts, limit):
    chosen = []
    for unit, start, _ in parts:
        if limit <= 0:
            break
        rows = min(unit.rows, limit)
        chosen.append((unit, start, start + rows))
        limit -= rows
    return chosen


def _share(part, index, count):
    unit, start, _ = part
    rows = _rows(part)
    return unit, start + rows * index // count, start + rows * (index + 1) // count
