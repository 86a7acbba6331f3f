"""Source locations of values, for error messages and counts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from lmn_tf.specs.errors import UserError, short

# Rows of a file, counted from 0: those from a number on, or an array of the number of each.
RowNumbers = int | np.ndarray


def rows_from(rows: RowNumbers, start: int) -> RowNumbers:
    """Returns the rows without the first `start`.

    Example:

    >>> rows_from(10, 2), rows_from(np.array([3, 7, 8]), 2).tolist()
    (12, [8])
    """
    return rows[start:] if isinstance(rows, np.ndarray) else rows + start


@dataclasses.dataclass(frozen=True)
class SourceLocation:
    """A column of a file and the rows of its values.

    Args:
        file: Path of the data file.
        column: Name of the column.
        row: Function from the index of a value to its row in the file, counted from 1.
        unknown: Dictionary for the number of unknown ids of each column. Defaults to `None`: they
            are not counted.
    """

    file: str
    column: str
    row: Callable[[int], int]
    unknown: dict[str, int] | None = None

    @classmethod
    def of_rows(
        cls, file: str, column: str, rows: RowNumbers, unknown: dict[str, int] | None = None
    ) -> "SourceLocation":
        """Returns the location of a column with one value per row.

        Args:
            file: Path of the data file.
            column: Name of the column.
            rows: Integer, the number of the first row; or int64 array of the number of each.
            unknown: As in the class. Defaults to `None`.
        """
        if isinstance(rows, np.ndarray):
            return cls(file, column, lambda index: int(rows[int(index)]) + 1, unknown)
        return cls(file, column, lambda index: rows + int(index) + 1, unknown)

    def within(self, lengths: np.ndarray) -> "SourceLocation":
        """Returns the location of flat values of lists with these `lengths`."""
        ends = np.cumsum(lengths)
        return dataclasses.replace(
            self, row=lambda index: self.row(int(np.searchsorted(ends, index, side="right")))
        )

    def picked(self, index: np.ndarray) -> "SourceLocation":
        """Returns the location of the values at `index`."""
        return dataclasses.replace(self, row=lambda i: self.row(int(index[i])))

    def error(self, index: int, rule: str, received: Any) -> UserError:
        """Returns the error that the value at `index` breaks `rule`."""
        return UserError(
            f"column `{self.column}`, row {self.row(index)}: {rule}. Received: {short(received)}",
            file=self.file,
        )

    def column_error(self, rule: str, received: Any) -> UserError:
        """Returns the error that the whole column breaks `rule`."""
        return UserError(f"column `{self.column}` {rule}. Received: {received}", file=self.file)
