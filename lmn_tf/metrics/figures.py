"""Names, titles, digits and directions of the figures that runs report."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Figure:
    """A number that runs report, and its format.

    Args:
        name: String. Key in `metrics.json`, and name in `compile` and `monitor`.
        title: String. Title in tables.
        digits: Integer. Number of digits after the decimal point.
        unit: String. Unit of the printed number. Defaults to `""`.
        smaller_is_better: Boolean. Defaults to `False`.
        needs_groups: Boolean. Whether the figure needs the group of each row. Defaults to `False`.
        statistic: String. Key in `usage_statistics`, or `None` if the figure does not describe the
            reads of a memory. Defaults to `None`.

    Example:

    >>> Figure("slots_used", "slots used", 1, unit="%").cell(44.14)
    '44.1'
    """

    name: str
    title: str
    digits: int
    unit: str = ""
    smaller_is_better: bool = False
    needs_groups: bool = False
    statistic: str | None = None

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def cell(self, value: float | None) -> str:
        """Returns the value as text without its unit; `"-"` for `None`."""
        return "-" if value is None else f"{value:,.{self.digits}f}"


# Figures of the predictions.
QUALITY = (
    Figure("auc", "AUC", 4),
    Figure("gauc", "GAUC", 4, needs_groups=True),
    Figure("qauc", "QAUC", 4, needs_groups=True),
    Figure("logloss", "LogLoss", 4, smaller_is_better=True),
    Figure("normalized_entropy", "NE", 4, smaller_is_better=True),
)

# Figures of the slots of a memory.
SLOTS = (
    Figure("slots_used", "slots used", 1, unit="%", statistic="used"),
    Figure("memory_kl", "KL", 3, smaller_is_better=True, statistic="kl"),
    Figure("slots_for_90", "slots for 90 %", 0, statistic="top90"),
)

# Figures of what a model owes to its memories.
DIAGNOSTICS = (
    Figure("auc_shuffled", "AUC, shuffled addresses", 4),
    Figure("auc_zeroed", "AUC, zeroed memory", 4),
    Figure("gate", "gate", 3),
    Figure("reads_per_slot", "reads a slot", 1),
    Figure("slots_read", "slots read", 1, unit="%"),
    Figure("slots_below_10", "slots with < 10 reads", 1, unit="%", smaller_is_better=True),
    Figure("address_churn", "address churn", 1, unit="%", smaller_is_better=True),
)

# Figures of the run.
RUN = (
    Figure("loss", "loss", 4, smaller_is_better=True),
    Figure("examples", "examples", 0),
    Figure("parameters", "parameters", 0),
    Figure("examples_per_second", "examples/s", 0),
    Figure("peak_memory_mib", "peak memory", 0, unit="MiB", smaller_is_better=True),
)

FIGURES = {figure.name: figure for figure in (*QUALITY, *SLOTS, *RUN)}


def select(*names: str) -> tuple[Figure, ...]:
    """Returns figures by name.

    Args:
        *names: Keys of `FIGURES`.

    Example:

    >>> [figure.title for figure in select("auc", "logloss")]
    ['AUC', 'LogLoss']
    """
    return tuple(FIGURES[name] for name in names)


def own_figures(results: Iterable[Mapping[str, Any]]) -> tuple[Figure, ...]:
    """Returns the figures of the metrics of users in some results, in their order.

    Args:
        results: Results of `Evaluator.evaluate`, whose `metrics` are those of users.

    Example:

    >>> [figure.title for figure in own_figures([{"auc": 0.7, "metrics": {"brier": 0.2}}])]
    ['brier']
    """
    names = dict.fromkeys(name for result in results for name in result.get("metrics", ()))
    return tuple(Figure(name, name, 4) for name in names)


# Figures of progress lines, which early stopping and a search can monitor.
MONITORED = select("auc", "gauc", "logloss")


def slot_figures(statistics: dict) -> dict:
    """Returns the figures of a memory from its usage statistics.

    Args:
        statistics: Dictionary returned by `usage_statistics`.

    Example:

    >>> slot_figures({"used": 75.0, "kl": 0.5, "top90": 3.0})
    {'slots_used': 75.0, 'memory_kl': 0.5, 'slots_for_90': 3.0}
    """
    return {figure.name: statistics[figure.statistic] for figure in SLOTS}
