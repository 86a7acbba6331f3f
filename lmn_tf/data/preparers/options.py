"""Options of all preparers."""

import dataclasses
from decimal import Decimal

from lmn_tf.specs.errors import UserError

CHOICES = {
    "history": ("events", "inline"),
    "negatives": ("uniform", "popularity"),
    "negatives_exclude": ("auto", "log", "request"),
    "split": ("auto", "time", "position"),
}


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """Options of the conversion of a log to training rows.

    Args:
        history: String. `"events"` (rows point into a sorted file of events) or `"inline"`
            (rows carry list columns). Defaults to `"events"`.
        max_history: Integer. Length of the longest inline history; the newest events are kept.
            Defaults to `200`.
        min_history: Integer. Rows with fewer earlier events are dropped. Defaults to `0`.
        negatives: String. `"uniform"` over items or `"popularity"` (by training interactions).
            Defaults to `"uniform"`.
        negatives_exclude: String. Which items are no negatives of a row: those that its user has
            anywhere in the `"log"`, or those that the user has in the `"request"`, at the time of
            the row. Where users take items again, the former makes an earlier purchase a proof of a
            positive. Defaults to `"auto"`: `"request"` for the data sets in which users do so.
        negatives_per_positive: Integer. Number of sampled negatives per positive. Defaults to `1`.
        split: String. `"time"` (global cut points), `"position"` (the last events of each user) or
            `"auto"` (time if the log has timestamps). Defaults to `"auto"`.
        valid_share: Float. Share of rows for validation. Defaults to `0.1`.
        test_share: Float. Share of rows for the test. Defaults to `0.1`.
        seed: Integer. Seed of sampled negatives and of the order of rows. Defaults to `1`.
        max_malformed: Float. Maximum share of malformed rows of one table. Defaults to `0.01`.
        rows_per_file: Integer. Number of rows per Parquet file. Defaults to `1000000`.
        memory_limit: String. Memory limit of the SQL engine. Defaults to `"1GB"`.
        threads: Integer. Number of threads of the SQL engine. Defaults to `2`.

    Example:

    >>> PrepareOptions(negatives_per_positive=4).negatives
    'uniform'
    """

    history: str = "events"
    max_history: int = 200
    min_history: int = 0
    negatives: str = "uniform"
    negatives_exclude: str = "auto"
    negatives_per_positive: int = 1
    split: str = "auto"
    valid_share: float = 0.1
    test_share: float = 0.1
    seed: int = 1
    max_malformed: float = 0.01
    rows_per_file: int = 1_000_000
    memory_limit: str = "1GB"
    threads: int = 2

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise UserError(f"`{name}` must be one of {choices}. Received: {name}={value!r}")
        least = {"max_history": 1, "min_history": 0, "negatives_per_positive": 1}
        for name, minimum in (least | {"rows_per_file": 1, "threads": 1}).items():
            value = getattr(self, name)
            if value < minimum:
                raise UserError(f"`{name}` must be at least {minimum}. Received: {name}={value!r}")
        for name in ("valid_share", "test_share", "max_malformed"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise UserError(f"`{name}` must be from 0 up to 1. Received: {name}={value!r}")
        if self.train_share <= 0:
            raise UserError(
                "`valid_share` and `test_share` must leave rows to train on. "
                f"Received: valid_share={self.valid_share}, test_share={self.test_share}"
            )

    @property
    def train_share(self) -> Decimal:
        """Share of training rows, an exact decimal."""
        return 1 - Decimal(str(self.valid_share)) - Decimal(str(self.test_share))
