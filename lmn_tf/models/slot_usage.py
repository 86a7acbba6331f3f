"""The use of a model's memory, told by `evaluate`."""

import keras
import tensorflow as tf

from lmn_tf.metrics.memory_usage import MemoryUsage

_NAMES = {"used": "slots_used", "kl": "memory_kl", "top90": "slots_for_90"}


@keras.saving.register_keras_serializable(package="lmn_tf")
class SlotUsage(MemoryUsage):
    """`MemoryUsage` under the names that `evaluate` logs, computed once, at the end.

    Args:
        memory_size: Integer. Number of slots.
        prefix: String before the names of the results. Defaults to `""`.
        **kwargs: Arguments of `MemoryUsage`.

    Returns:
        Dictionary: `slots_used` (per cent of the slots), `memory_kl` (from even use, in nats) and
        `slots_for_90` (how many slots hold 90 % of the weight). NaN inside graphs and before the
        first read.

    Example:

    >>> usage = SlotUsage(4, by="counts")
    >>> usage.update_state([[0, 1], [0, 1], [0, 2], [0, 2]])
    >>> usage.result()["slots_used"]
    75.0
    """

    def __init__(self, memory_size, prefix="", **kwargs):
        super().__init__(memory_size, **kwargs)
        self.prefix = prefix

    def result(self):
        if not tf.executing_eagerly():  # a sort of all slots a step would cost too much
            return {self.prefix + name: tf.constant(float("nan")) for name in _NAMES.values()}
        statistics = self.compute()
        return {self.prefix + name: statistics[key] for key, name in _NAMES.items()}

    def get_config(self):
        return {**super().get_config(), "prefix": self.prefix}
