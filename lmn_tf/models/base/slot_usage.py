"""Metrics of `evaluate` for the use of memories."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.metrics.figures import SLOTS, slot_figures
from lmn_tf.metrics.memory_usage import MemoryUsage


@keras.saving.register_keras_serializable(package="lmn_tf")
class SlotUsage(MemoryUsage):
    """`MemoryUsage` with the names of the logs of `evaluate`, computed once at the end.

    Args:
        memory_size: Integer. Number of slots.
        prefix: String before the names of the results. Defaults to `""`.
        **kwargs: Arguments of `MemoryUsage`.

    Returns:
        Dictionary of `slots_used` (percent of the slots), `memory_kl` (divergence from uniform use,
        in nats) and `slots_for_90` (number of slots with 90 % of the weight). NaN inside graphs and
        before the first read.

    Example:

    >>> usage = SlotUsage(4, by="counts")
    >>> usage.update_state([[0, 1], [0, 1], [0, 2], [0, 2]])
    >>> usage.result()["slots_used"]
    75.0
    """

    def __init__(self, memory_size: int, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(memory_size, **kwargs)
        self.prefix = prefix

    def result(self) -> dict[str, Any]:
        if not tf.executing_eagerly():  # sorting all slots in each step would be slow
            return {self.prefix + figure.name: tf.constant(float("nan")) for figure in SLOTS}
        figures = slot_figures(self.compute())
        return {self.prefix + name: value for name, value in figures.items()}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "prefix": self.prefix}


class SlotCounter:
    """Counts of the slots that the memories of a model read in `evaluate`.

    Args:
        memories: Mapping from a name to a `ProductKeyMemory`. If there are several, their names are
            prefixes of the results.

    Example:

    >>> memory = lmn_tf.layers.ProductKeyMemory(num_keys=2, top_k=4)
    >>> counter = SlotCounter({"clicks": memory})
    >>> with counter.counting():
    ...     _ = memory(np.ones((1, 3)))
    >>> counter.statistics()["clicks"]["used"]
    100.0
    """

    def __init__(self, memories: Mapping[str, ProductKeyMemory]) -> None:
        several = len(memories) > 1
        self._memories = dict(memories)
        self.metrics = tuple(
            SlotUsage(memory.memory_size, prefix=f"{name}_" if several else "", name=name)
            for name, memory in self._memories.items()
        )

    @contextlib.contextmanager
    def counting(self, enabled: bool = True) -> Iterator[None]:
        """Context in which the reads of the memories are counted.

        Args:
            enabled: Boolean. Whether to count. Defaults to `True`.
        """
        with contextlib.ExitStack() as stack:
            if enabled:
                for memory, usage in zip(self._memories.values(), self.metrics, strict=True):
                    stack.enter_context(memory.watched(_updater(usage)))
            yield

    def statistics(self) -> dict[str, dict[str, float]]:
        """Returns a dictionary from the name of a memory to its `usage_statistics`."""
        return {
            name: usage.compute() for name, usage in zip(self._memories, self.metrics, strict=True)
        }


def _updater(usage):
    return lambda reading, valid: usage.update_state(reading.slots, reading.weights, mask=valid)
