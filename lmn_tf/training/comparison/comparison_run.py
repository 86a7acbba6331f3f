"""Run of a comparison: its names."""

import re
import typing


class ComparisonRun(typing.NamedTuple):
    """A run of a comparison.

    Args:
        label: String. Label of the model.
        trial: Integer. Number of the search's configuration, from 1, or `None` without a search.
        seed: Integer. Seed of the run.

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
        """Name of the run directory, unique per configuration and seed."""
        trial = "" if self.trial is None else f"-trial{self.trial}"
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '_', self.label)}{trial}-seed{self.seed}"
