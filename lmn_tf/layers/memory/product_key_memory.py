"""A key-value memory of `num_keys ** 2` slots, searched by product keys."""

import math
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.tables.placement import PLACEMENTS, add_table, read_weighted_sum
from lmn_tf.layers.base import (
    add_balance_loss,
    check_choice,
    check_not_negative,
    check_positive_integer,
    check_positive_number,
)
from lmn_tf.layers.core.masked_batch_normalization import MaskedBatchNormalization
from lmn_tf.layers.memory.memory_reading import MemoryReading, balance_of, scores_at
from lmn_tf.layers.memory.slot_memory import SlotMemoryMixin
from lmn_tf.ops.search.product_key_search import product_key_search
from lmn_tf.ops.search.slot_search import MAX_KEYS
from lmn_tf.ops.sequence.masked import zero_padding

_KEY_NORM_EPSILON = 1e-6


@keras.saving.register_keras_serializable(package="lmn_tf")
class ProductKeyMemory(SlotMemoryMixin, keras.layers.Layer):
    """Reads a large shared memory at the slots whose keys match a query best.

    Each of `num_keys ** 2` slots has a value, and a key that consists of a row
    key and a column key. Two linear maps turn an input into a row query and a
    column query. Slot `row * num_keys + column` scores the sum of the two dot
    products, and the read-out is `sum(softmax(scores / temperature) * values)`
    over the `top_k` best slots ("two-axis activation"). Only keys and queries of
    selected slots, and values that were read, receive a gradient. Heads have
    separate queries and keys, and share the values.

    Padded inputs (mask false) read 0 and do not enter the query statistics.
    Scores, search and softmax are computed in float32 under any precision.

    The paper of LMN does not specify the number of slots read, the heads and
    how they merge, the temperature and the initial weights; the defaults are
    those of product-key memories. The paper normalizes neither queries nor keys.
    Batch normalization of the queries and layer normalization of the keys are
    our choice: without them most reads collapse to a small part of the slots.

    Args:
        num_keys: Integer above 1. Number of row keys and of column keys; the
            paper's √n. Defaults to `300`.
        top_k: Integer above 1 (a single slot would have weight 1 whatever the
            query). Number of slots that each head reads, capped at all slots.
            Defaults to `32`.
        num_heads: Integer. Number of heads. Defaults to `1`.
        key_dim: Integer. Width of a row key and of a column key, or `None` for
            the width of the inputs. Defaults to `None`.
        value_dim: Integer. Width of the values, or `None` for the width of the
            inputs. Defaults to `None`.
        query_norm: `"batch"`, `"layer"` or `"none"`. Normalization of the row
            and column queries. Defaults to `"batch"`.
        key_norm: Boolean. Whether keys are layer-normalized, so that their
            length does not affect the selection. Defaults to `True`.
        key_balance_weight: Float. Weight of the key-balance loss, averaged over
            both axes, which the layer adds in training. Defaults to `0.0`.
        head_merge: `"sum"`, `"mean"` or `"concat"` (followed by a linear map to
            `value_dim`). Defaults to `"sum"`.
        temperature: Positive float that divides the scores; `key_dim ** 0.5` is
            the scaling of attention. Defaults to `1.0`.
        value_initializer: Initializer of the values, or `None` for a normal
            distribution of standard deviation `value_dim ** -0.5`. Defaults to
            `None`.
        memory_placement: `"replicated"` or `"row_wise"`. Placement of the values
            in a distributed run. Defaults to `"replicated"`.
        open_keys: Integer, or `None` for all. Number of row keys and of column
            keys that can be selected at first; `open_up_to` opens more. Defaults
            to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(..., d)`.
        mask: Optional boolean tensor of shape `(...)`, true where valid.
        training: Boolean. Whether to use query statistics of the batch.

    Returns:
        Float tensor of shape `(..., value_dim)`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> ProductKeyMemory(num_keys=10, top_k=4)(np.ones((2, 3, 8))).shape
    TensorShape([2, 3, 8])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs.
          5-10; Lample et al., "Large Memory Layers with Product Keys", NeurIPS
          2019.
    """

    _layer_norm_epsilon = 1e-3

    def __init__(
        self,
        num_keys: int = 300,
        top_k: int = 32,
        num_heads: int = 1,
        key_dim: int | None = None,
        value_dim: int | None = None,
        query_norm: str = "batch",
        key_norm: bool = True,
        key_balance_weight: float = 0.0,
        head_merge: str = "sum",
        temperature: float = 1.0,
        value_initializer: Any = None,
        memory_placement: str = "replicated",
        open_keys: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_heads", num_heads)
        for name, value in (("num_keys", num_keys), ("top_k", top_k)):
            check_positive_integer(name, value)
            if value < 2:
                raise ValueError(f"`{name}` must be at least 2. Received: {name}={value}")
        if num_keys > MAX_KEYS:
            raise ValueError(
                f"`num_keys` must be at most {MAX_KEYS}, so that slots fit int32. "
                f"Received: num_keys={num_keys}"
            )
        for name, value in (("key_dim", key_dim), ("value_dim", value_dim)):
            if value is not None:
                check_positive_integer(name, value)
        check_choice("query_norm", query_norm, ("batch", "layer", "none"))
        check_choice("head_merge", head_merge, ("sum", "mean", "concat"))
        check_choice("memory_placement", memory_placement, PLACEMENTS)
        check_positive_number("temperature", temperature)
        check_not_negative("key_balance_weight", key_balance_weight)
        if open_keys is not None:
            check_positive_integer("open_keys", open_keys)
            if open_keys > num_keys:
                raise ValueError(
                    f"`open_keys` must be at most `num_keys`, {num_keys}. "
                    f"Received: open_keys={open_keys}"
                )
        self.num_keys = num_keys
        self.top_k = top_k
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.query_norm = query_norm
        self.key_norm = key_norm
        self.key_balance_weight = key_balance_weight
        self.head_merge = head_merge
        self.temperature = temperature
        self.value_initializer = (
            None if value_initializer is None else keras.initializers.get(value_initializer)
        )
        self.open_keys = open_keys
        self.open_count = None
        self.memory_placement = memory_placement
        self.supports_masking = True
        # Under XLA the layer is correct, but slower on CPUs and recompiled for each length, so
        # Keras must not select it automatically.
        self.supports_jit = False

    @property
    def memory_size(self) -> int:
        """Number of slots, `num_keys ** 2`."""
        return self.num_keys**2

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        width = inputs_shape[-1]
        self._build_memory(width, self.value_dim or width)

    def _build_memory(self, width, value_dim):
        """Creates the weights; `width` is the input width of the query maps."""
        self._key_dim = self.key_dim or width
        self._value_dim = value_dim
        self._top_k = min(self.top_k, self.memory_size)
        self.row_query = self._dense(self.num_heads * self._key_dim, "row_query", width)
        self.column_query = self._dense(self.num_heads * self._key_dim, "column_query", width)
        self._build_query_norm()
        self._build_keys()
        self.key_normalization = None
        if self.key_norm:
            self.key_normalization = keras.layers.LayerNormalization(
                epsilon=_KEY_NORM_EPSILON, center=False, name="key_normalization", dtype="float32"
            )
            self.key_normalization.build((None, None, self._key_dim))
        self.memory_values = add_table(
            self,
            "memory_values",
            (self.memory_size, self._value_dim),
            self.value_initializer or keras.initializers.RandomNormal(stddev=self._value_dim**-0.5),
            self.memory_placement,
        )
        self.head_projection = None
        if self.head_merge == "concat":
            self.head_projection = self._dense(
                self._value_dim, "head_projection", self.num_heads * self._value_dim
            )

        if self.open_keys is not None:
            self.open_count = self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(self.open_keys),
                dtype="int64",
                trainable=False,
                name="open_keys",
            )

    def _build_keys(self):
        limit = 1.0 / math.sqrt(self._key_dim)
        self.row_keys, self.column_keys = (
            self.add_weight(
                shape=(self.num_heads, self.num_keys, self._key_dim),
                initializer=keras.initializers.RandomUniform(-limit, limit),
                name=name,
                autocast=False,
            )
            for name in ("row_keys", "column_keys")
        )

    def _free_keys(self):
        return tf.convert_to_tensor(self.row_keys), tf.convert_to_tensor(self.column_keys)

    def scored_keys(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the keys as they are scored.

        Returns:
            Pair of float tensors of shape `(num_heads, num_keys, key_dim)`: row keys, column keys.
        """
        keys = self._free_keys()
        if self.key_normalization is None:
            return tuple(tf.cast(axis_keys, tf.float32) for axis_keys in keys)
        return tuple(self.key_normalization(axis_keys) for axis_keys in keys)

    def key_lengths(self) -> tf.Tensor:
        """Returns the lengths of the keys before normalization.

        Returns:
            Float tensor of shape `(2, num_heads, num_keys)`: row keys, then column keys.
        """
        return tf.norm(tf.stack(self._free_keys()), axis=-1)

    def _limit(self):
        return None if self.open_count is None else tf.cast(self.open_count, tf.int32)

    def open_up_to(self, count: int) -> None:
        """Opens the first `count` row keys and column keys; open keys are never closed."""
        if self.open_count is not None:
            count = max(int(keras.ops.convert_to_numpy(self.open_count)), count)
            self.open_count.assign(min(count, self.num_keys))

    def _dense(self, units, name, width):
        dense = keras.layers.Dense(units, name=name, dtype=self.dtype_policy)
        dense.build((None, width))
        return dense

    def _build_query_norm(self):
        self.query_normalization = None
        if self.query_norm == "batch":
            self.query_normalization = MaskedBatchNormalization(
                name="query_normalization", dtype="float32"
            )
            self.query_normalization.build((None, 2 * self.num_heads * self._key_dim))
        elif self.query_norm == "layer":
            self.query_normalization = keras.layers.LayerNormalization(
                epsilon=self._layer_norm_epsilon, name="query_normalization", dtype="float32"
            )
            self.query_normalization.build((None, 2, self.num_heads, self._key_dim))

    def call(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> tf.Tensor:
        width = inputs.shape[-1]
        leading = tf.shape(inputs)[:-1]
        flat_mask = None if mask is None else tf.reshape(tf.cast(mask, tf.bool), [-1])
        flat = zero_padding(tf.reshape(inputs, [-1, width]), flat_mask)  # (N, d)
        read_out = zero_padding(self.read(flat, flat_mask, training).read_out, flat_mask)  # (N, dv)
        read_out = tf.reshape(read_out, tf.concat([leading, [self._value_dim]], 0))
        return tf.ensure_shape(read_out, [*inputs.shape[:-1], self._value_dim])

    def read(
        self, inputs: tf.Tensor, mask: tf.Tensor | None = None, training: bool | None = None
    ) -> MemoryReading:
        """Reads the memory, and returns slots, weights and queries with the read-out.

        Args:
            inputs: Float tensor of shape `(N, d)`.
            mask: Optional tensor of shape `(N,)`: boolean, or float that is how
                often an input counts. Inputs that do not count do not enter the
                query statistics; their read-out is undefined.
            training: Boolean. Whether to use query statistics of the batch.

        Returns:
            A `MemoryReading`.
        """
        queries = self._queries(inputs, mask, training)  # (N, 2, H, key_dim)
        scores, slots = self._search(queries)  # (N, H, top_k) each
        weights = tf.nn.softmax(scores / self.temperature, axis=-1)  # (N, H, top_k)
        # `training=None` (a custom loop) may still ask for gradients.
        read_out = self._read_out(slots, weights, for_training=training is not False)  # (N, dv)
        reading = MemoryReading(read_out, slots, weights, queries)
        if training and self.key_balance_weight:
            loss = balance_of(reading, self.scored_keys(), mask, self.temperature, self._limit())
            add_balance_loss(self, self.key_balance_weight * loss)
        if self._watcher is not None:
            self._watcher(reading, mask)
        return reading

    def read_again(self, reading: MemoryReading) -> tf.Tensor:
        """Repeats a read with a gradient that stops at the queries.

        Args:
            reading: A `MemoryReading`.

        Returns:
            Float tensor equal to `reading.read_out`, whose gradient reaches only
            keys and values (and the linear map of merged heads).
        """
        row_queries, column_queries = tf.unstack(tf.stop_gradient(reading.queries), axis=1)
        row_keys, column_keys = self.scored_keys()
        slots = reading.slots  # (N, H, top_k)
        scores = scores_at(slots // self.num_keys, row_queries, row_keys) + scores_at(
            slots % self.num_keys, column_queries, column_keys
        )
        limit = self._limit()
        if limit is not None:  # closed slots fill up where fewer than `top_k` are open
            is_open = tf.maximum(slots // self.num_keys, slots % self.num_keys) < limit
            scores = tf.where(is_open, scores, -math.inf)
        return self._read_out(slots, tf.nn.softmax(scores / self.temperature, axis=-1))  # (N, dv)

    def _queries(self, inputs, mask, training):
        queries = tf.concat([self.row_query(inputs), self.column_query(inputs)], axis=-1)
        queries = tf.cast(queries, tf.float32)  # (N, 2 * H * key_dim)
        if self.query_norm == "batch":
            queries = self.query_normalization(queries, mask=mask, training=training)
        queries = tf.reshape(queries, [-1, 2, self.num_heads, self._key_dim])  # (N, 2, H, key_dim)
        if self.query_norm == "layer":
            queries = self.query_normalization(queries)
        return queries

    def _search(self, queries):
        """Scores and slots of each head, `(N, H, top_k)`."""
        # Not `queries[:, 0]`: the gradient of a slice is padded with zeros to all queries.
        queries = tf.unstack(tf.reshape(queries, [-1, 2 * self.num_heads, self._key_dim]), axis=1)
        row_keys, column_keys = (tf.unstack(keys) for keys in self.scored_keys())
        heads = zip(
            queries[: self.num_heads],
            queries[self.num_heads :],
            row_keys,
            column_keys,
            strict=True,
        )
        results = [product_key_search(*head, self._top_k, self._limit()) for head in heads]
        return tuple(tf.stack(parts, axis=1) for parts in zip(*results, strict=True))

    def _read_out(self, slots, weights, for_training=True):
        if self.head_merge == "concat":
            read_out = read_weighted_sum(self.memory_values, slots, weights, for_training)
            read_out = tf.reshape(read_out, [-1, self.num_heads * self._value_dim])  # (N, H * dv)
            return self.head_projection(tf.cast(read_out, self.compute_dtype))
        # Heads share the values, so their read-outs are one weighted sum.
        hits = self.num_heads * self._top_k
        rows = (tf.reshape(item, [-1, hits]) for item in (slots, weights))  # (N, H * top_k) each
        read_out = read_weighted_sum(self.memory_values, *rows, for_training)  # (N, dv)
        if self.head_merge == "mean":
            read_out /= self.num_heads
        return tf.cast(read_out, self.compute_dtype)

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask

    def compute_output_shape(self, inputs_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*inputs_shape[:-1], self.value_dim or inputs_shape[-1])

    def get_config(self) -> dict[str, Any]:
        initializer = self.value_initializer
        return {
            **super().get_config(),
            "num_keys": self.num_keys,
            "top_k": self.top_k,
            "num_heads": self.num_heads,
            "key_dim": self.key_dim,
            "value_dim": self.value_dim,
            "query_norm": self.query_norm,
            "key_norm": self.key_norm,
            "key_balance_weight": self.key_balance_weight,
            "head_merge": self.head_merge,
            "temperature": self.temperature,
            "memory_placement": self.memory_placement,
            "value_initializer": None
            if initializer is None
            else keras.initializers.serialize(initializer),
            "open_keys": self.open_keys,
        }
