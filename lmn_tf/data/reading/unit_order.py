"""Order of the units and rows of an epoch."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.source_location import RowNumbers
from lmn_tf.data.formats import Unit
from lmn_tf.data.reading.row_groups import RowGroups
from lmn_tf.data.reading.row_limit import RowLimit


class UnitOrder:
    """Order of units and rows in each epoch, for one shard of the data.

    Args:
        units: List of `Unit`, in the order of the files.
        shuffle: Boolean. Whether units and rows are permuted.
        seed: Integer in `[0, 2**64)`.
        window: Integer. Number of rows that are permuted together.
        shard: Pair `(index, count)`.
        limit: Integer, the number of rows to use, from the first; `RowLimit`; or `None`: all.
    """

    def __init__(
        self,
        units: list[Unit],
        shuffle: bool,
        seed: int,
        window: int,
        shard: tuple[int, int],
        limit: int | RowLimit | None,
    ) -> None:
        index, count = shard
        if not 0 <= index < count:
            raise ValueError(
                f"`shard` must be (index, count), 0 <= index < count. Received: shard={shard}"
            )
        if not 0 <= seed < 2**64:
            raise ValueError(f"`seed` must be in [0, 2**64). Received: seed={seed}")
        self.shuffle = shuffle
        self._window = window
        self._entropy = (seed, index)
        parts = [_Part(unit) for unit in units]
        if limit is not None:
            parts = _limited(parts, limit if isinstance(limit, RowLimit) else RowLimit(limit))
        if len(parts) >= count:
            parts = parts[index::count]
        else:
            parts = [part.share(index, count) for part in parts]
        self._parts = parts
        self._num_rows: int | None = None

    @property
    def units(self) -> list[Unit]:
        """Units from which rows are read."""
        return [part.unit for part in self._parts]

    @property
    def num_rows(self) -> int:
        """Number of rows of an epoch."""
        if self._num_rows is None:
            self._num_rows = sum(part.rows for part in self._parts)
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
    ) -> Iterator[tuple[Unit, pa.Table, RowNumbers]]:
        """Yields (unit, table, rows of the file) for an epoch without its first `skip` rows."""
        parts = self._parts
        if self.shuffle and not self.is_one_window:
            order = self._random(epoch, 0).permutation(len(parts))
            parts = [parts[i] for i in order]
        for part in parts:
            if skip and skip >= part.rows:
                skip -= part.rows
                continue
            for table, rows in part.tables(columns, skip):
                yield part.unit, table, rows
            skip = 0

    def _random(self, epoch, purpose):
        return np.random.default_rng([*self._entropy, epoch, purpose])


@dataclasses.dataclass(frozen=True)
class _Part:
    """Rows of a unit: those from `start` to `stop`, or only the `drawn` ones."""

    unit: Unit
    start: int = 0
    # `None` for a whole unit, whose rows need not be counted before they are read.
    stop: int | None = None
    drawn: np.ndarray | None = None

    @property
    def rows(self) -> int:
        if self.drawn is not None:
            return len(self.drawn)
        return (self.unit.rows if self.stop is None else self.stop) - self.start

    def tables(self, columns, skip) -> Iterator[tuple[pa.Table, RowNumbers]]:
        first = self.unit.first_row
        if self.drawn is None:
            row = self.start + skip
            for table in self.unit.tables(columns, row, self.stop):
                yield table, first + row
                row += table.num_rows
            return
        drawn = self.drawn[skip:]
        if not len(drawn):  # a shard of fewer rows than there are shards
            return
        row = int(drawn[0])
        for table in self.unit.tables(columns, row, int(drawn[-1]) + 1):
            inside = slice(*np.searchsorted(drawn, (row, row + table.num_rows)))
            if inside.start < inside.stop:
                yield table.take(pa.array(drawn[inside] - row)), first + drawn[inside]
            row += table.num_rows

    def share(self, index, count) -> "_Part":
        start, stop = (self.rows * at // count for at in (index, index + 1))
        if self.drawn is not None:
            return dataclasses.replace(self, drawn=self.drawn[start:stop])
        return dataclasses.replace(self, start=self.start + start, stop=self.start + stop)


def _limited(parts, limit):
    """Returns the parts of whole units with the rows of a limit."""
    if isinstance(limit.rows, str) or limit.seed is not None:
        total = sum(part.rows for part in parts)
        drawn = limit.drawn(total)
        if drawn is not None:
            return _drawn(parts, drawn)
        count = limit.count(total)
    else:
        count = limit.rows  # the units behind them need not be counted
    chosen = []
    for part in parts:
        if count <= 0:
            break
        chosen.append(dataclasses.replace(part, stop=min(part.rows, count)))
        count -= chosen[-1].rows
    return chosen


def _drawn(parts, drawn):
    chosen, first = [], 0
    for part in parts:
        inside = slice(*np.searchsorted(drawn, (first, first + part.rows)))
        if inside.start < inside.stop:
            chosen.append(dataclasses.replace(part, drawn=drawn[inside] - first))
        first += part.rows
    return chosen
