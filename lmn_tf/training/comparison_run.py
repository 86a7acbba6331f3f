"""One run of a comparison: which model, which configuration, which seed."""

import re
import typing


class ComparisonRun(typing.NamedTuple):
    """A run of a comparison.

    Args:
        label: String. The model's label.
        trial: Integer, counted from 1: which of the search's configurations. None without search.
        seed: Integer.

    Example:

    >>> run = ComparisonRun("my model", 3, 1)
    >>> str(run), run.folder
    ('my model, trial 3, seed 1', 'my_model-trial3-seed1')
    """

    label: str
    trial: int | None
    seed: int

    def __str__(self):
        trial = "" if self.trial is None else f", trial {self.trial}"
        return f"{self.label}{trial}, seed {self.seed}"

    @property
    def folder(self) -> str:
        """Name of the run directory; a configuration has its own for each seed."""
        trial = "" if self.trial is None else f"-trial{self.trial}"
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', self.label)}{trial}-seed{self.seed}"
