"""Early stopping by a metric of the validation set."""

import dataclasses
import math

from lmn_tf.metrics.figures import FIGURES


@dataclasses.dataclass
class EarlyStopping:
    """Remembers the best epoch and says when the metric has stopped getting better.

    An epoch is better only when its value is strictly better than the best so far; a value that
    is not a number never is. Training stops after `patience` epochs in a row that were not
    better. All state is plain numbers, so that it goes into a checkpoint.

    Args:
        monitor: Name of a metric of the validation set, `"auc"`, `"gauc"` or `"logloss"`; smaller
            is better for `"logloss"`. Defaults to `"auc"`.
        patience: Epochs without a better value before training stops. Defaults to `2`.

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
        """Whether `patience` epochs in a row were not better."""
        return self.bad_epochs >= self.patience

    def update(self, epoch: int, value: float) -> bool:
        """Takes the value of one epoch in; returns whether it is the best so far."""
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
        """Goes on from what `state()` gave."""
        self.best_value = state["best_value"]
        self.best_epoch = state["best_epoch"]
        self.bad_epochs = state["bad_epochs"]

    def _is_better(self, value: float) -> bool:
        if self.monitor in FIGURES and FIGURES[self.monitor].smaller_is_better:
            return value < self.best_value
        return value > self.best_value
