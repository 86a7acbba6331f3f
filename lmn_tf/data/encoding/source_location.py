"""Source locations of values, for error messages and counts."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from lmn_tf.specs.errors import UserError, short


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
        cls, file: str, column: str, first_row: int, unknown: dict[str, int] | None = None
    ) -> "SourceLocation":
        """Returns the location of a column with one value per row, from row `first_row + 1`."""
        return cls(file, column, lambda index: first_row + int(index) + 1, unknown)

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
