"""Early stopping by a metric of the validation set."""

import dataclasses
import math

from lmn_tf.metrics.figures import FIGURES


@dataclasses.dataclass
class EarlyStopping:
    """Tracks the best epoch, and decides when a metric has stopped improving.

    An epoch improves the metric if its value is strictly better than the best so far; NaN never
    is. Training stops after `patience` consecutive epochs without improvement. The state consists
    of plain numbers, so that a checkpoint can hold it.

    Args:
        monitor: String. Metric of the validation set, `"auc"`, `"gauc"` or `"logloss"` (lower is
            better). Defaults to `"auc"`.
        patience: Integer. Number of epochs without improvement after which training stops. Defaults
            to `2`.

    Example:

    >>> stopping = EarlyStopping("auc", patience=1)
    >>> stopping.update(0, 0.7), stopping.update(1, 0.6)
    (True, False)
    >>> stopping.best_epoch, stopping.should_stop
    (0, True)
    """

    monitor: str = "auc"
    patience: int = 2
    best_value: float | None = None
    best_epoch: int | None = None
    bad_epochs: int = 0

    def __post_init__(self):
        if self.patience < 1:
            raise ValueError(
                "`patience` must be a positive number of epochs. "
                f"Received: patience={self.patience}"
            )

    @property
    def should_stop(self) -> bool:
        """Whether `patience` consecutive epochs did not improve the metric."""
        return self.bad_epochs >= self.patience

    def update(self, epoch: int, value: float) -> bool:
        """Adds the value of an epoch; returns whether it is the best so far."""
        if not math.isnan(value) and (self.best_value is None or self._is_better(value)):
            self.best_value, self.best_epoch, self.bad_epochs = float(value), epoch, 0
            return True
        self.bad_epochs += 1
        return False

    def state(self) -> dict:
        """Returns the values that a checkpoint needs to resume the run."""
        return {
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "bad_epochs": self.bad_epochs,
        }

    def restore(self, state: dict) -> None:
        """Restores the values returned by `state()`."""
        self.best_value = state["best_value"]
        self.best_epoch = state["best_epoch"]
        self.bad_epochs = state["bad_epochs"]

    def _is_better(self, value: float) -> bool:
        if self.monitor in FIGURES and FIGURES[self.monitor].smaller_is_better:
            return value < self.best_value
        return value > self.best_value
