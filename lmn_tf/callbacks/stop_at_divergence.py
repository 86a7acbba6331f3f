"""Error at the first step whose loss or gradient is not finite."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from lmn_tf.specs.errors import UserError

_GROWN = 10.0  # a loss above this multiple of the first (or of 1) was already diverging
_SCALE_STEPS = 100  # reading the loss scale waits for the step, so it is rarely read
# float16 gradients that are infinite even at this scale are infinite at any scale.
_LEAST_SCALE = 2.0**-14
_OVERFLOW = (
    "in float16 numbers end at 65,504: train in `mixed_bfloat16`, or lower the learning rate"
)


class StopAtDivergence(keras.callbacks.Callback):
    """Raises a `UserError` at the first step whose loss or gradient is not finite.

    Keras continues to train with NaN. This callback checks values that each step returns anyway,
    the loss and the means of layers, so it costs nothing. In the models of this package, a gradient
    that is not finite makes the loss of its step NaN; in other models, it shows in the next loss.
    Undefined metrics, such as the AUC of rows of one class, are NaN without being an error. Under
    loss scaling (`mixed_float16`) the optimizer skips steps whose gradients are not finite, and
    training continues, as long as float16 overflow can explain the loss scale.

    The message names the step and the likely cause. On parameter servers, where steps run
    concurrently, it names the step at which the value was detected.

    `lmn-tf train` always uses this callback, and keeps the earlier checkpoints.

    Args:
        first_step: Integer. Number of steps before this training, or `None` for the optimizer's
            iterations. Defaults to `None`.

    Raises:
        UserError: At the end of a step or an epoch.

    Example:

    >>> callback = StopAtDivergence()
    >>> callback.check({"loss": 0.7}, step=1)
    >>> callback.check({"loss": float("nan")}, step=2)
    Traceback (most recent call last):
    lmn_tf.specs.errors.UserError: The loss and its gradients must be finite. Received: loss=nan \
at step 2. The loss was 0.7 before it: likely a number in the data is far too large, or the \
learning rate too high
    """

    def __init__(self, first_step: int | None = None) -> None:
        super().__init__()
        self.first_step = first_step
        self._first = self._last = None
        self._steps = 0
        self._means = ()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._steps = _iterations(self.model) if self.first_step is None else self.first_step
        means = (metric for metric in self.model.metrics if isinstance(metric, keras.metrics.Mean))
        self._means = tuple(metric.name for metric in means if metric.name != "loss")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps += self.model.steps_per_execution
        self.check(logs or {}, self._steps)
        if batch % _SCALE_STEPS == 0:
            self._check_scale()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # On parameter servers the last steps of an epoch end here.
        self.check(logs or {}, self._steps)
        self._check_scale()
        if self.first_step is None:  # the last execution of an epoch may hold fewer steps
            self._steps = _iterations(self.model)

    def check(self, logs: Mapping[str, float], step: int) -> None:
        """Raises an error if a step was not finite.

        Args:
            logs: Mapping from names to numbers, including `"loss"`.
            step: Integer. Number of the step, from 1.

        Raises:
            UserError: If the loss, or a mean that a layer tracks, is NaN or infinite.
        """
        for name in ("loss", *self._means):
            value = float(logs.get(name, 0.0))
            if not math.isfinite(value):
                subject = "The loss and its gradients" if name == "loss" else f"`{name}`"
                raise UserError(
                    f"{subject} must be finite. Received: {name}={value} at step {step:,}. "
                    f"{self._cause()}"
                )
        loss = float(logs.get("loss", 0.0))
        self._last = loss
        self._first = loss if self._first is None else self._first

    def _check_scale(self):
        scale = getattr(self.model.optimizer, "dynamic_scale", None)
        if scale is None:
            return
        value = float(keras.ops.convert_to_numpy(scale))
        if value < _LEAST_SCALE:
            raise UserError(
                "Gradients must be finite. Received: steps left out until the loss scale was "
                f"{value:.3g}, at step {self._steps:,}. Likely a number in the data is far too "
                "large, or the learning rate too high"
            )

    def _cause(self):
        first, last = self._first, self._last
        if last is None:
            cause = (
                "No loss is known from before it: likely a number in the data is far too large, "
                "or the weights that training starts from are"
            )
        elif abs(last) > _GROWN * max(abs(first), 1.0):
            cause = (
                f"The loss had grown from {first:.4g} to {last:.4g}: likely the learning rate is "
                "too high"
            )
        else:
            cause = (
                f"The loss was {last:.4g} before it: likely a number in the data is far too large, "
                "or the learning rate too high"
            )
        policy = getattr(self.model, "dtype_policy", None)
        if getattr(policy, "compute_dtype", None) == "float16":
            cause += f"; {_OVERFLOW}"
        return cause


def _iterations(model):
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))
