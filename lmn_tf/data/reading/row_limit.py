"""Number of rows to use: the first ones, or rows drawn at random."""

import dataclasses
from fractions import Fraction

import numpy as np

from lmn_tf.data.encoding.hashing import splitmix64
from lmn_tf.specs.pipeline_spec import PipelineSpec


@dataclasses.dataclass(frozen=True)
class RowLimit:
    """Number of rows to use: the first ones, or rows drawn at random.

    With a seed, each row of the data has a random number, which depends on the seed and the number
    of the row only, and the rows with the smallest numbers are used, in the order of the files. So
    fewer rows of a seed are part of more rows.

    Args:
        rows: Integer, at least 1; or text with a percent sign, the share of all rows, of which at
            least one is used.
        seed: Integer. Seed of the draw, or `None`: the first rows. Defaults to `None`.

    Raises:
        ValueError: If `rows` is out of its range.

    Example:

    >>> RowLimit("2.5%").count(1000)
    25
    >>> RowLimit(3, seed=1).drawn(10).tolist(), RowLimit(5, seed=1).drawn(10).tolist()
    ([6, 7, 8], [0, 6, 7, 8, 9])
    """

    rows: int | str
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rows, str) and self.rows < 1:
            raise ValueError(f"`limit` must be at least 1. Received: limit={self.rows}")

    @classmethod
    def of_training(cls, pipeline: PipelineSpec) -> "RowLimit | None":
        """Returns the limit of the training rows of a pipeline; `None` for all rows."""
        data = pipeline.data
        if data.train_rows is None:
            return None
        return cls(data.train_rows, pipeline.train.seed if data.draw_rows else None)

    def count(self, total: int) -> int:
        """Returns the number of rows that are used.

        Args:
            total: Integer. Number of all rows.
        """
        if not isinstance(self.rows, str):
            return min(self.rows, total)
        # Exact: a third of the rows is the same number on any machine.
        share = Fraction(self.rows.removesuffix("%")) / 100
        return min(max(round(share * total), 1), total)

    def drawn(self, total: int) -> np.ndarray | None:
        """Returns the numbers of the rows that are drawn, in order.

        Args:
            total: Integer. Number of all rows.

        Returns:
            int64 array `(count,)`, or `None`: the first rows.
        """
        count = self.count(total)
        if self.seed is None or count == total:
            return None
        start = splitmix64(np.array([self.seed], np.uint64))
        with np.errstate(over="ignore"):
            # A one-to-one function of the row: no two numbers are equal.
            numbers = splitmix64(np.arange(total, dtype=np.uint64) + start)
        return np.sort(np.argpartition(numbers, count - 1)[:count])
