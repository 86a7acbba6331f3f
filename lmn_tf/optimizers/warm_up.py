"""Linear warm-up before any learning rate schedule."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="lmn_tf")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up of the learning rate, followed by a constant rate or a schedule.

    At step `s`, counted from zero: `rate * (s + 1) / warmup_steps` while `s < warmup_steps`, with
    `rate` the first value of `learning_rate`; then `learning_rate(s - warmup_steps)`.

    Args:
        learning_rate: Float or `keras.optimizers.schedules.LearningRateSchedule`.
        warmup_steps: Integer, zero or more.

    Returns:
        Scalar tensor, when called with a step.

    Raises:
        ValueError: If `warmup_steps` is negative.

    Example:

    >>> schedule = WarmUp(0.1, warmup_steps=4)
    >>> [round(float(schedule(step)), 3) for step in (0, 1, 3, 4, 100)]
    [0.025, 0.05, 0.1, 0.1, 0.1]
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        warmup_steps: int,
    ) -> None:
        super().__init__()
        if warmup_steps < 0:
            raise ValueError(
                f"`warmup_steps` must be zero or more. Received: warmup_steps={warmup_steps}"
            )
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        step = keras.ops.cast(step, "float32")
        after = keras.ops.maximum(step - self.warmup_steps, 0.0)
        rate = self.learning_rate(after) if callable(self.learning_rate) else self.learning_rate
        share = keras.ops.minimum((step + 1.0) / max(self.warmup_steps, 1), 1.0)
        return keras.ops.cast(rate, "float32") * share

    def get_config(self) -> dict[str, Any]:
        rate = self.learning_rate
        if callable(rate):
            rate = keras.saving.serialize_keras_object(rate)
        return {"learning_rate": rate, "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        config = dict(config)
        if isinstance(config["learning_rate"], dict):
            config["learning_rate"] = keras.saving.deserialize_keras_object(config["learning_rate"])
        return cls(**config)
