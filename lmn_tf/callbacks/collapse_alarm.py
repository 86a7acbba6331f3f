"""Warning when few slots of a memory serve nearly all reads."""

import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.callbacks.scalar_cards import ScalarCards
from lmn_tf.metrics.figures import SLOTS
from lmn_tf.metrics.memory_usage import MemoryUsage

_NAMES = tuple(figure.name for figure in SLOTS)
_REMEDIES = (
    "Likely remedies: normalized queries (`query_norm='batch'` or `'layer'`), over-parameterized "
    "keys (`key_expansion`) or a `key_balance_weight` where the model has them, warm-up of the "
    "learning rate, a lower learning rate, a higher `temperature`, a smaller memory"
)


class CollapseWarning(UserWarning):
    """Warning of `CollapseAlarm`: nearly all reads of a memory go to a few slots."""


class CollapseAlarm(keras.callbacks.Callback):
    """Warns after an evaluation if a memory has collapsed, which AUC does not reveal.

    Checks the results of `evaluate` for each memory (including the validation of `fit`), and issues
    a `CollapseWarning` with the memory, the value and possible remedies. A memory has collapsed if

    - `slots_used` is below `min_slots_used` percent, or
    - `memory_kl` is above `max_kl_share` of its largest value, the logarithm of the number of
      slots, or
    - `slots_for_90` is below `min_share_for_90` of the number of slots.

    An evaluation of a few rows cannot read many slots of a large memory: evaluate enough rows, or
    disable the first rule. There is no warning if nothing was read.

    The callback is also a listener of `TrainingLoop`, and checks the figures of its validation.

    Args:
        min_slots_used: Float, percent, or `None` to disable the rule. Defaults to `1.0`.
        max_kl_share: Float up to 1, or `None` to disable the rule. Defaults to `0.8`: of 10,000
            slots, as uneven as equal use of 6.
        min_share_for_90: Float up to 1, or `None` to disable the rule. Defaults to `0.0005`.
        stop: Boolean. Whether to stop training as well. Defaults to `False`.
        say: Function that is called with the text of the warning instead of a `CollapseWarning`,
            or `None`. Defaults to `None`.
        log_dir: Folder for TensorBoard files with `NAME/collapsed`, 1 or 0, for each evaluation;
            `None` writes no files. Defaults to `None`.

    Attributes:
        collapsed: Dictionary from the name of each memory that had collapsed at the last evaluation
            to the list of the values that show it.

    Raises:
        ValueError: If a threshold is out of its range.

    Example:

    >>> alarm = CollapseAlarm(min_slots_used=5.0)
    >>> alarm.check({"memory": {"slots_used": 40.0, "memory_kl": 2.5, "memory_size": 2500}})
    >>> alarm.collapsed
    {}
    """

    def __init__(
        self,
        min_slots_used: float | None = 1.0,
        max_kl_share: float | None = 0.8,
        min_share_for_90: float | None = 0.0005,
        stop: bool = False,
        say: Callable[[str], None] | None = None,
        log_dir: str | os.PathLike | None = None,
    ) -> None:
        super().__init__()
        for name, value, largest in (
            ("min_slots_used", min_slots_used, 100),
            ("max_kl_share", max_kl_share, 1),
            ("min_share_for_90", min_share_for_90, 1),
        ):
            if value is not None and not 0 <= value <= largest:
                raise ValueError(
                    f"`{name}` must be from 0 to {largest}, or None. Received: {name}={value!r}"
                )
        self.min_slots_used = min_slots_used
        self.max_kl_share = max_kl_share
        self.min_share_for_90 = min_share_for_90
        self.stop = stop
        self.say = say
        self.log_dir = None if log_dir is None else str(log_dir)
        self.collapsed = {}
        self._writer = None

    def check(
        self, figures: Mapping[str, Mapping[str, float]], model: keras.Model | None = None
    ) -> None:
        """Checks the figures of memories.

        Args:
            figures: Mapping from the name of a memory to its figures: any of `slots_used`,
                `memory_kl` and `slots_for_90`, and `memory_size`.
            model: Model whose training is stopped, and whose optimizer counts steps, or `None`.
                Defaults to `None`.
        """
        reasons_of = {name: self._reasons(memory) for name, memory in figures.items()}
        self.collapsed = {name: reasons for name, reasons in reasons_of.items() if reasons}
        self._write({name: float(bool(reasons)) for name, reasons in reasons_of.items()}, model)
        for name, reasons in self.collapsed.items():
            text = f"The memory `{name}` has collapsed: {', '.join(reasons)}. {_REMEDIES}."
            if self.say is not None:
                self.say(text)
            else:
                warnings.warn(text, CollapseWarning, stacklevel=2)
        if self.collapsed and self.stop and model is not None:
            model.stop_training = True

    def _reasons(self, figures):
        size = figures["memory_size"]
        used, kl, for_90 = (figures.get(name, math.nan) for name in _NAMES)
        reasons = []
        # Comparisons with NaN are false: nothing was read.
        if self.min_slots_used is not None and used < self.min_slots_used:
            reasons.append(f"slots_used={used:.3g} % (less than {self.min_slots_used:g} %)")
        if self.max_kl_share is not None and kl > self.max_kl_share * math.log(size):
            limit = self.max_kl_share * math.log(size)
            reasons.append(f"memory_kl={kl:.3g} (more than {limit:.3g})")
        if self.min_share_for_90 is not None and for_90 < self.min_share_for_90 * size:
            limit = self.min_share_for_90 * size
            reasons.append(f"slots_for_90={for_90:.0f} (less than {limit:.3g})")
        return reasons

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        metrics = getattr(self.model, "evaluation_metrics", list)()
        figures = {}
        for metric in metrics:
            prefix = getattr(metric, "prefix", None)
            if not isinstance(metric, MemoryUsage) or prefix is None:
                continue
            statistics = {name: (logs or {}).get(prefix + name, math.nan) for name in _NAMES}
            figures[metric.name] = {**statistics, "memory_size": metric.memory_size}
        self.check(figures, self.model)

    def on_epoch(self, loop: Any, figures: Mapping[str, Any]) -> None:
        """Listener of `TrainingLoop`: checks the validation of an epoch, or the evaluation of a day
        before training on it."""
        memory = (figures.get("valid") or figures.get("before") or {}).get("memory")
        if memory:
            self.check(memory.get("layers") or {"memory": memory}, loop.model)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, values, model):
        if self.log_dir is None or not values:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        optimizer = getattr(model, "optimizer", None)
        step = 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))
        values = {f"{name}/collapsed": value for name, value in values.items()}
        ScalarCards(self._writer).write(values, step)
        self._writer.flush()
