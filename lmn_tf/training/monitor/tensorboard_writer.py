"""TensorBoard summaries of training."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, SupportsFloat

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.callbacks.scalar_cards import ScalarCards, write_summary
from lmn_tf.training.monitor import score_cards

if TYPE_CHECKING:
    from lmn_tf.training.training_loop import TrainingLoop

# Figures that describe the data, not the model.
_CONSTANTS = ("examples", "groups", "groups_skipped", "ungrouped_rows", "memory_size")


class TensorBoardWriter:
    """Writer of losses, learning rates, speed, input wait and evaluations to TensorBoard.

    A listener of `TrainingLoop`. For an optimizer with `dense` and `tables`, both learning rates
    are written, once they change. After each evaluation, each label gets a precision-recall curve,
    `calibration` (predicted over observed positives) and, with 1,000 rows or more, an image of the
    observed share of positives by predicted probability. A resumed run writes the steps after its
    checkpoint again; TensorBoard shows the later values.

    Args:
        folder: Folder of the event files.
        every_steps: Integer. Number of steps between two points. Defaults to `10`.
        scores: Function without arguments that returns `Evaluator.scores`, or `None`. Defaults to
            `None`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        every_steps: int = 10,
        scores: Callable[[], dict] | None = None,
    ) -> None:
        self.every_steps = every_steps
        self._scores = scores
        self._writer = tf.summary.create_file_writer(str(folder))
        self._cards = ScalarCards(self._writer)
        self._counted: tuple[float, float, float] | None = None

    def on_step(self, loop: TrainingLoop, loss: SupportsFloat) -> None:
        """Writes the metrics of a step, once every `every_steps` steps."""
        step = loop.state.step
        if self._counted is None:  # The first step of a process is not timed.
            self._counted = _counts(loop.state)
        if step % self.every_steps:
            return
        self._cards.write({"train/loss": float(loss), **self._speed(loop.state)}, step)
        rates = learning_rates(loop.model.optimizer)
        self._cards.write_changing(
            {f"learning_rate/{name}": rate for name, rate in rates.items()}, step
        )

    def on_epoch(self, loop: TrainingLoop, figures: dict) -> None:
        """Writes the loss of an epoch, and its evaluations if there are any."""
        step = figures["step"]
        self._cards.write({"train/epoch_loss": figures["loss"]}, step)
        for part in ("valid", "before"):
            found = dict(_flat(figures.get(part, {}), part))
            constants = [tag for tag in found if tag.rpartition("/")[2] in _CONSTANTS]
            self._cards.write_changing({tag: found.pop(tag) for tag in constants}, step)
            self._cards.write(found, step)
            if found and self._scores is not None:
                self._write_scores(part, step)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()

    def _speed(self, state) -> dict[str, float]:
        """Returns the figures of the timed steps since the point before."""
        before = self._counted
        self._counted = _counts(state)
        seconds, examples, waited = np.subtract(self._counted, before).tolist()
        if seconds <= 0:
            return {}
        return {
            "train/examples_per_second": examples / seconds,
            "train/input_wait": min(1.0, waited / seconds),
        }

    def _write_scores(self, part, step) -> None:
        scores = self._scores()
        for label, counts in scores.items():
            name = part if len(scores) == 1 else f"{part}/{label}"
            self._cards.write({f"{name}/calibration": score_cards.calibration_ratio(*counts)}, step)
            image = score_cards.calibration_image(f"{name}: calibration at step {step:,}", *counts)
            write_summary(self._writer, score_cards.pr_curve(name, *counts), step)
            with self._writer.as_default(step):
                if image is not None:
                    tf.summary.image(
                        f"{name}/calibration_curve",
                        image[None],
                        description="Observed share of positives by predicted probability. Below "
                        "the dashed line, the model predicts too many.",
                    )


def _counts(state) -> tuple[float, float, float]:
    return state.timed_seconds, state.timed_examples, state.waited


def learning_rates(optimizer: keras.optimizers.Optimizer | None) -> dict[str, float]:
    """Returns the current learning rates by group: `dense` and `tables`, or `all`."""
    if optimizer is None:
        return {}
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # under loss scaling
    groups = {name: getattr(optimizer, name, None) for name in ("dense", "tables")}
    groups = {name: group for name, group in groups.items() if group is not None}
    return {
        # By NumPy: `float` does not accept a variable that is copied to replicas.
        name: float(np.asarray(group.learning_rate))
        for name, group in (groups or {"all": optimizer}).items()
    }


def _flat(figures: dict, prefix: str):
    for key, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}/{key}")
        elif value is not None:
            yield f"{prefix}/{key}", value
