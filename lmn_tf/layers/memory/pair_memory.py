"""Memory with a value for each pair of an event and the candidate."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from lmn_tf.distribute.tables.placement import PLACEMENTS, add_table, read_rows
from lmn_tf.layers.base import check_axes, check_choice, check_positive_integer
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.layers.memory.slot_memory import SlotMemoryMixin
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.specs.lookup import FIRST_ID

READINGS = ("pairs", "recent pairs", "largest pair", "smallest pair")
_FACTOR = 0x9E3779B97F4A7C15 - 2**64  # 2^64 over the golden ratio, as a signed integer
_TOP_BITS = 2**31 - 1


class PairReading(NamedTuple):
    """What the `P` pairs of an event and the candidate of a call have read.

    Attributes:
        slots: int64 tensor of shape `(P, 1, 1)`, as of one head that reads one slot.
        weights: float32 tensor of ones of shape `(P, 1, 1)`.
        rows: Integer tensor of shape `(P,)`. Ids of the events.
        columns: Integer tensor of shape `(P,)`. Ids of the candidates.
    """

    slots: tf.Tensor
    weights: tf.Tensor
    rows: tf.Tensor
    columns: tf.Tensor


@keras.saving.register_keras_serializable(package="lmn_tf")
class PairMemory(SlotMemoryMixin, HistoryLayer):
    """Sums the values of the pairs of each event of a history and the candidate.

    Computes `z = sum_j V[row_j, column]` with the ids `row_j` of the events, the id `column` of the
    candidate, and a table `V` that all users share: for example, what a liked movie says about
    another movie. So the candidate and the history address the memory together, whereas the memory
    of LMN is read by events alone.

    With fewer `num_slots` than pairs, pairs are hashed to slots, and some share a value.

    All values start at 0, so that a model starts as the same model without this memory. Most pairs
    are rare: train the values by `RowWiseSGD`, which shrinks them by their counts. Adam and Adagrad
    take the largest steps for the rarest pairs.

    The ids 0 (padding) and 1 (unknown) have no values: their pairs add 0.

    With `readings="several"`, there are three more readings of the same values beside the pooled
    one: their sum with a weight of `1 / (1 + newer)` for an event that has so many newer ones, the
    largest value or 0, and the smallest value or 0.

    Args:
        num_rows: Integer. Number of ids of events.
        num_columns: Integer. Number of ids of candidates.
        num_slots: Integer, or `None` for one of each pair. Number of values. Defaults to `None`.
        num_values: Integer. Width of a value, the number of logits. Defaults to `1`.
        pooling: `"sum"`, `"mean"` or `"sqrtn"` over the events of a history. Defaults to `"sum"`.
        readings: `"one"`, or `"several"` for those of `READINGS`. Defaults to `"one"`.
        memory_placement: `"replicated"` or `"row_wise"`. Placement of the values in a distributed
            run. Defaults to `"replicated"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        rows: Integer tensor of shape `(batch, length)`; or `(events,)` with `windows`.
        columns: Integer tensor of shape `(batch,)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid.
        windows: Optional `Windows` of the rows of the batch into events that they share.

    Returns:
        Float tensor of shape `(batch, num_values)`; with several readings, of shape
        `(batch, 4, num_values)`. Exactly 0 for an empty history.

    Raises:
        ValueError: If an argument is out of its range, or `rows` has another number of axes.

    Example:

    >>> memory = PairMemory(num_rows=10, num_columns=5)
    >>> memory(np.array([[2, 3], [9, 0]]), np.array([4, 2])).shape
    TensorShape([2, 1])

    Reference:
        - Ours. The table of pairs of "Item-based collaborative filtering recommendation
          algorithms", Sarwar et al., WWW 2001, trained with the model; hashed as the pairs of
          features of "MemoNet: Memorizing All Cross Features' Representations Efficiently via
          Multi-Hash Codebook Network for CTR Prediction", Zhang and Zhang, CIKM 2023.
    """

    def __init__(
        self,
        num_rows: int,
        num_columns: int,
        num_slots: int | None = None,
        num_values: int = 1,
        pooling: str = "sum",
        readings: str = "one",
        memory_placement: str = "replicated",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = {"num_rows": num_rows, "num_columns": num_columns, "num_values": num_values}
        if num_slots is not None:
            sizes["num_slots"] = num_slots
        for name, value in sizes.items():
            check_positive_integer(name, value)
        check_choice("pooling", pooling, ("sum", "mean", "sqrtn"))
        check_choice("readings", readings, ("one", "several"))
        check_choice("memory_placement", memory_placement, PLACEMENTS)
        self.num_rows = num_rows
        self.num_columns = num_columns
        self.num_slots = num_slots
        self.num_values = num_values
        self.pooling = pooling
        self.readings = readings
        self.memory_placement = memory_placement

    @property
    def memory_size(self) -> int:
        """Number of slots."""
        pairs = self.num_rows * self.num_columns
        return pairs if self.num_slots is None else min(self.num_slots, pairs)

    @property
    def is_hashed(self) -> bool:
        """Whether there are fewer slots than pairs, so that some share a value."""
        return self.memory_size < self.num_rows * self.num_columns

    def build(
        self,
        rows_shape: tuple[int | None, ...] | None = None,
        columns_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        self.memory_values = add_table(
            self,
            "memory_values",
            (self.memory_size, self.num_values),
            keras.initializers.Zeros(),
            self.memory_placement,
        )
        self.built = True

    def call(
        self,
        rows: tf.Tensor,
        columns: tf.Tensor,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        rows = tf.convert_to_tensor(rows)
        if windows is None:
            check_axes("rows", rows.shape, "(batch, length)")
            windows = ValidPositions(mask_of(rows, mask), rows)
            rows = windows.take(rows)
        rows = windows.pairs(rows)  # (P,)
        columns = windows.repeat(tf.convert_to_tensor(columns)[:, None])[:, 0]  # (P,)
        pairs, slots = windows.of_pairs, self.slots(rows, columns)
        values = tf.cast(read_rows(self.memory_values, slots), tf.float32)
        known = tf.logical_and(rows >= FIRST_ID, columns >= FIRST_ID)
        values = tf.where(known[:, None], values, 0.0)  # (P, num_values)
        if self._watcher is not None:
            slots = slots[:, None, None]
            reading = PairReading(slots, tf.ones_like(slots, tf.float32), rows, columns)
            self._watcher(
                reading, known if pairs.valid is None else tf.logical_and(known, pairs.valid)
            )
        return tf.cast(self._read(values, pairs), self.compute_dtype)

    def _read(self, values, pairs):
        """Reads the values `(P, num_values)` of all pairs, by row."""
        pooled = getattr(pairs, f"event_{self.pooling}")(values)
        if self.readings == "one":
            return pooled
        ages = 1.0 + tf.cast(pairs.newer, tf.float32)[:, None]
        extremes = pairs.row_max(values), -pairs.row_max(-values)
        return tf.stack([pooled, pairs.row_sum(values / ages), *extremes], axis=1)

    def slots(self, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        """Returns the slots of pairs.

        Args:
            rows: Integer tensor of shape `(...)`. Ids of events.
            columns: Integer tensor of shape `(...)`. Ids of candidates.

        Returns:
            int64 tensor of shape `(...)`.
        """
        pairs = tf.cast(rows, tf.int64) * self.num_columns + tf.cast(columns, tf.int64)
        if not self.is_hashed:
            return pairs
        mixed = tf.bitwise.right_shift(pairs * _FACTOR, tf.constant(32, tf.int64))
        return tf.bitwise.bitwise_and(mixed, _TOP_BITS) % self.memory_size

    def compute_output_shape(
        self,
        rows_shape: tuple[int | None, ...],
        columns_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        batch = rows_shape[0] if columns_shape is None else columns_shape[0]
        readings = () if self.readings == "one" else (len(READINGS),)
        return (batch, *readings, self.num_values)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_rows": self.num_rows,
            "num_columns": self.num_columns,
            "num_slots": self.num_slots,
            "num_values": self.num_values,
            "pooling": self.pooling,
            "readings": self.readings,
            "memory_placement": self.memory_placement,
        }
