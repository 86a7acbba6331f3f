"""Run of a comparison: its names."""

import re
import typing


class ComparisonRun(typing.NamedTuple):
    """A run of a comparison.

    Args:
        label: String. Label of the model.
        trial: Integer. Number of the search's configuration, from 1, or `None` without a search.
        seed: Integer. Seed of the run.
        value: String. Value of the option that the comparison varies, with the option's name.
            Defaults to `None`: the row has no such option.

    Example:

    >>> run = ComparisonRun("my model", 3, 1)
    >>> str(run), run.folder
    ('my model, trial 3, seed 1', 'my_model-trial3-seed1')
    >>> ComparisonRun("lmn", None, 2, "train_rows=5%").folder
    'lmn-train_rows_5pct-seed2'
    """

    label: str
    trial: int | None
    seed: int
    value: str | None = None

    def __str__(self):
        trial = "" if self.trial is None else f", trial {self.trial}"
        value = "" if self.value is None else f", {self.value}"
        return f"{self.label}{trial}{value}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the run directory, unique per configuration and seed."""
        trial = "" if self.trial is None else f"-trial{self.trial}"
        value = "" if self.value is None else f"-{_plain(self.value.replace('%', 'pct'))}"
        return f"{_plain(self.label)}{trial}{value}-seed{self.seed}"


def _plain(text):
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)
