"""Feature specs of the days of a run whose vocabularies grow."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import load_spec, write_spec

_KEPT = 2  # The checkpoints that are kept are of the newest day and the one before it.


class GrownSpecs:
    """Folder `days` of a run that has not finished, with a spec for each day that adds values.

    Until the run finishes, `feature_spec.yaml` is that of the first day, which a checkpoint of a
    later day does not fit.

    Args:
        path: Path of the folder, which need not exist.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def write(self, spec: FeatureSpec, day: str) -> None:
        """Writes the spec of a day, and removes old ones."""
        write_spec(spec, self.path / day)
        for old in self._days()[:-_KEPT]:
            shutil.rmtree(old)

    def load(self, state: Mapping[str, Any] | None) -> FeatureSpec | None:
        """Reads the spec of the model in a checkpoint; `None` if it is that of the first day.

        Args:
            state: State of the checkpoint, or `None` without one.
        """
        fitting = self._fitting(state)
        return load_spec(fitting[-1]) if fitting else None

    def drop_later(self, state: Mapping[str, Any] | None) -> None:
        """Removes the specs that are later than a checkpoint, from which the run goes on.

        Args:
            state: State of the checkpoint, or `None` without one.
        """
        fitting = self._fitting(state)
        for path in self._days():
            if path not in fitting:
                shutil.rmtree(path)

    def clear(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _days(self) -> list[Path]:
        return sorted(self.path.iterdir()) if self.path.is_dir() else []

    def _fitting(self, state) -> list[Path]:
        # A day that the checkpoint does not know as begun has not grown the model in it.
        day = _day(state or {})
        return [path for path in self._days() if day is not None and path.name <= day]


def _day(state) -> str | None:
    """Returns the newest day that a checkpoint knows as begun."""
    opening, history = state.get("opening"), state.get("history")
    return (opening or (history or [{}])[-1]).get("day")
