"""Usage statistics of the slots of a memory."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.uncast_variable import uncast_variable


@keras.saving.register_keras_serializable(package="lmn_tf")
class MemoryUsage(keras.metrics.Metric):
    """Share of memory slots in use, and measures of uneven use.

    Sums, for each slot, the number of reads (`by="counts"`) or their weights (`by="weights"`), and
    describes the sums with `usage_statistics`. Reads of queries whose mask is false are ignored.
    Update it with one pass over evaluation data.

    `result()` sorts the slots, so do not call it at each step.

    Args:
        memory_size: Integer. Number of slots, `num_keys ** 2`.
        by: `"weights"` or `"counts"`. Defaults to `"weights"`.
        name: String, and the prefix of the results' names. Defaults to `"memory"`.
        dtype: Type of the results. Defaults to `None`.

    Call arguments:
        slots: Integers of shape `(..., top_k)`: the slots that each query read.
        weights: Non-negative numbers shaped like `slots`. `None` counts every read as 1.
        mask: Booleans shaped like the leading dimensions of `slots`, `(batch, length)` for
            `(batch, length, heads, top_k)`. `None` means that every query counts.

    Returns:
        Dictionary of scalars: `{name}_used` (percent), `{name}_kl`, `{name}_gini`,
        `{name}_top50`, `{name}_top90` and `{name}_top99`. NaN before the first read.

    Raises:
        ValueError: If `memory_size` is not positive or `by` is unknown.

    Example:

    >>> metric = MemoryUsage(4, by="counts")
    >>> metric.update_state([[0, 1], [0, 1], [0, 2], [0, 2]])
    >>> float(metric.result()["memory_used"])
    75.0
    """

    def __init__(
        self, memory_size: int, by: str = "weights", name: str = "memory", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if memory_size < 1:
            raise ValueError(
                f"`memory_size` must be a positive integer. Received: memory_size={memory_size}"
            )
        if by not in ("weights", "counts"):
            raise ValueError(f"`by` must be 'weights' or 'counts'. Received: by={by!r}")
        self.memory_size = memory_size
        self.by = by
        self.reads = uncast_variable((memory_size,), "reads")

    def update_state(
        self, slots: tf.Tensor, weights: tf.Tensor | None = None, mask: tf.Tensor | None = None
    ) -> None:
        slots = tf.convert_to_tensor(slots)
        if weights is None or self.by == "counts":
            weights = tf.ones(tf.shape(slots), tf.float64)
        weights = tf.cast(weights, tf.float64)
        if mask is not None:
            mask = tf.cast(mask, tf.float64)
            for _ in range(slots.shape.rank - mask.shape.rank):
                mask = mask[..., tf.newaxis]
            # Not a product: the weights of padding may be NaN.
            weights = tf.where(tf.broadcast_to(mask, tf.shape(weights)) > 0, weights * mask, 0.0)
        slots, weights = tf.reshape(slots, [-1]), tf.reshape(weights, [-1])
        reads = self.reads.value
        if isinstance(reads, tf.distribute.DistributedValues) or not hasattr(reads, "scatter_add"):
            # A variable summed over replicas has no scatter, nor has one in a stateless scope.
            self.reads.assign_add(tf.math.unsorted_segment_sum(weights, slots, self.memory_size))
        else:
            reads.scatter_add(tf.IndexedSlices(weights, slots))

    def result(self) -> dict[str, tf.Tensor]:
        reads = tf.convert_to_tensor(self.reads)
        total = tf.reduce_sum(reads)
        nan = tf.constant(np.nan, tf.float64)
        share = tf.sort(reads / tf.where(total > 0, total, 1.0))
        cumulative = tf.cumsum(share)
        size = self.memory_size
        log = tf.math.log(tf.where(share > 0, share, 1.0))
        statistics = {
            "used": 100.0 * tf.reduce_mean(tf.cast(share > 0, tf.float64)),
            "kl": np.log(size) + tf.reduce_sum(share * log),
            "gini": 1.0 - 2.0 * tf.reduce_mean(cumulative),
        }
        from_top = tf.cumsum(share, reverse=True)[::-1]
        for percent in (50, 90, 99):
            is_below = tf.cast(from_top < percent / 100.0 - 1e-12, tf.float64)
            statistics[f"top{percent}"] = tf.reduce_sum(is_below) + 1.0
        return {
            f"{self.name}_{key}": tf.cast(tf.where(total > 0, value, nan), self.dtype)
            for key, value in statistics.items()
        }

    def compute(self) -> dict[str, float]:
        """Returns `usage_statistics` of all reads so far: floats, without the name's prefix."""
        return usage_statistics(keras.ops.convert_to_numpy(self.reads))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["memory_size"] = self.memory_size
        config["by"] = self.by
        return config


def usage_statistics(reads: np.ndarray) -> dict[str, float]:
    """Describes the distribution of reads over slots.

    With `z` the share of each of `n` slots: `used` is the percentage of slots with `z > 0`; `kl`
    is `log(n) + sum(z * log(z))`, 0 for even use and `log(n)` for a single slot; `gini` is
    `1 - 2 * mean(cumsum(sort(z)))`; `top50`, `top90` and `top99` are the smallest numbers of slots
    that hold that percentage of the reads.

    Args:
        reads: Non-negative array of shape `(n,)`.

    Returns:
        Dictionary of floats, all NaN if nothing was read.

    Example:

    >>> statistics = usage_statistics([4, 2, 2, 0])
    >>> statistics["used"], round(statistics["kl"], 6), statistics["top50"]
    (75.0, 0.346574, 1.0)
    """
    reads = np.asarray(reads, np.float64)
    total = reads.sum()
    keys = ("used", "kl", "gini", "top50", "top90", "top99")
    if not total > 0:
        return dict.fromkeys(keys, float("nan"))
    size = len(reads)
    share = np.sort(reads[reads > 0] / total)[::-1]  # of a large memory, most may be 0
    cumulative = np.cumsum(share)
    values = [
        100.0 * len(share) / size,
        np.log(size) + np.sum(share * np.log(share)),
        1.0 - 2.0 * np.sum(np.cumsum(share[::-1])) / size,
        *(np.sum(cumulative < level - 1e-12) + 1 for level in (0.5, 0.9, 0.99)),
    ]
    return {key: float(value) for key, value in zip(keys, values, strict=True)}
