"""Unit of a data file that is read separately."""

import abc
from collections.abc import Iterator, Sequence

import pyarrow as pa

from lmn_tf.data.reading.checksum import FileState
from lmn_tf.specs.errors import UserError, did_you_mean


class Unit(abc.ABC):
    """The smallest unit of data that is shuffled, skipped or assigned to a worker.

    A Parquet row group, or a whole CSV or TFRecord file. Its rows are streamed: memory is limited
    to some ten thousand rows for units of any size.

    Args:
        path: String. Path of the file.
        names: Tuple of strings. Columns of the file.
        first_row: Integer. Number of rows of the file before this unit. Defaults to `0`.
        state: `FileState` from before the file was opened. Defaults to `None`: the current one.
    """

    # Columns of text, parts of which may be read as the integers of the text.
    text_columns: frozenset[str] = frozenset()

    def __init__(
        self,
        path: str,
        names: Sequence[str],
        first_row: int = 0,
        state: FileState | None = None,
    ) -> None:
        self.path = path
        self.names = tuple(names)
        self.first_row = first_row
        self._state = state or FileState(path)

    @property
    @abc.abstractmethod
    def rows(self) -> int:
        """Number of rows, counted on first use if the format does not store it."""

    @abc.abstractmethod
    def _stream(self, columns: Sequence[str], skip: int) -> Iterator[pa.Table]:
        """Yields all rows from `skip` on, in order, with only `columns`."""

    def tables(
        self, columns: Sequence[str], start: int = 0, stop: int | None = None
    ) -> Iterator[pa.Table]:
        """Yields the rows `start` to `stop` as Arrow tables with only `columns`.

        Args:
            columns: Names of columns.
            start: Integer. First row, counted from 0 in this unit. Defaults to `0`.
            stop: Integer or `None`. Row after the last one. Defaults to `None`: the end.

        Raises:
            UserError: If a column is missing, or the file cannot be read or was replaced since it
                was opened.
        """
        self.check_columns(columns)
        self._state.check_unchanged()
        position = start
        if stop is not None and position >= stop:
            return
        for table in self._stream(tuple(columns), start):
            if stop is not None and position + table.num_rows > stop:
                table = table.slice(0, stop - position)
            position += table.num_rows
            if table.num_rows:
                yield table
            if stop is not None and position >= stop:
                break
        self._state.check_unchanged()

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raises a `UserError` if one of `columns` is missing, or occurs more than once."""
        for name in columns:
            count = self.names.count(name)
            if count == 1:
                continue
            if count:
                raise UserError(
                    f"column `{name}` must be in the file once. "
                    f"Received: {count} columns of that name",
                    file=self.path,
                )
            others = f"{len(self.names)} other column{'' if len(self.names) == 1 else 's'}"
            raise UserError(
                f"column `{name}` must be in the file.{did_you_mean(name, self.names)} "
                f"Received: {others}{self._reading}",
                file=self.path,
            )

    @property
    def _reading(self) -> str:
        """Text of a message on how the names were read, if this depends on a setting."""
        return ""
