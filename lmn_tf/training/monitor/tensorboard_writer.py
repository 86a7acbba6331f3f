"""TensorBoard summaries of training."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, SupportsFloat

import keras
import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from lmn_tf.training.training_loop import TrainingLoop


class TensorBoardWriter:
    """Writer of losses, learning rates, speed and input wait as TensorBoard scalars.

    A listener of `TrainingLoop`. For an optimizer with `dense` and `tables`, both learning rates
    are written. A resumed run writes the steps after its checkpoint again; TensorBoard shows the
    later values.

    Args:
        folder: Folder of the event files.
        every_steps: Integer. Number of steps between two points. Defaults to `10`.
    """

    def __init__(self, folder: str | os.PathLike, every_steps: int = 10) -> None:
        self.every_steps = every_steps
        self._writer = tf.summary.create_file_writer(str(folder))

    def on_step(self, loop: TrainingLoop, loss: SupportsFloat) -> None:
        """Writes the metrics of a step, once every `every_steps` steps."""
        step = loop.state.step
        if step % self.every_steps:
            return
        with self._writer.as_default(step):
            tf.summary.scalar("train/loss", float(loss))
            tf.summary.scalar("train/examples_per_second", loop.state.examples_per_second)
            tf.summary.scalar("train/input_wait", loop.state.input_wait)
            for name, rate in learning_rates(loop.model.optimizer).items():
                tf.summary.scalar(f"learning_rate/{name}", rate)

    def on_epoch(self, loop: TrainingLoop, figures: dict) -> None:
        """Writes the loss of an epoch, and its evaluations if there are any."""
        with self._writer.as_default(figures["step"]):
            tf.summary.scalar("train/epoch_loss", figures["loss"])
            for part in ("valid", "before"):
                for name, value in _flat(figures.get(part, {}), part):
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
        self._writer.close()


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
