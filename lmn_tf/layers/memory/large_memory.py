"""The large memory of LMN as one layer."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.target_attention import TargetAttention
from lmn_tf.layers.base import (
    RunningMean,
    add_replicated_loss,
    check_choice,
    check_not_negative,
    check_positive_number,
)
from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.layers.memory.user_aware_query import UserAwareQuery
from lmn_tf.ops.losses import smooth_l1
from lmn_tf.ops.sequence.by_event import by_event
from lmn_tf.ops.sequence.valid_positions import ValidPositions

# Options passed on to the memory. `value_dim` is not one: values are as wide as the history.
_MEMORY_OPTIONS = tuple(
    name
    for name, parameter in inspect.signature(ProductKeyMemory.__init__).parameters.items()
    if name not in ("self", "num_keys", "top_k", "value_dim")
    and parameter.kind is not parameter.VAR_KEYWORD
)


@keras.saving.register_keras_serializable(package="lmn_tf")
class LargeMemory(HistoryLayer):
    """Compresses histories into one memory shared by all users, and reads it.

    Each valid behavior becomes a user-aware query `M_Q = MLP(merge(x, u))`. It
    reads the `top_k` best of `num_keys ** 2` slots by product keys; the read-out
    is `M_O`. The read-outs of a row are pooled. The memory loss
    `memory_loss_weight * SmoothL1(M_O, M_Q)`, averaged over the width and the
    valid positions, writes the behaviors into the slots by gradient. The layer
    adds it to the losses of the model.

    Padded positions do not read, and do not count in pooling, loss or
    statistics. A row without behaviors gives exactly 0, and a batch without any
    gives a loss of 0.

    The defaults differ from the paper in one point: queries are batch-normalized
    and keys layer-normalized. Without normalization most reads collapse to a
    small part of the slots. `query_norm="none", key_norm=False` is the paper's
    form.

    Where the paper is silent, we chose:

    - Every valid behavior is a query, and the candidate is not.
    - Read-outs of a row are averaged.
    - One head reads 32 slots; several heads share the values and are summed.
    - `MLP` has one hidden layer of `2 * d` units with ReLU; row and column
      queries are linear maps of `M_Q` to width `d`.
    - No gradient flows to the target of the memory loss
      (`stop_gradient="target"`), since the queries could otherwise lower the
      loss by shrinking.
    - The Smooth-L1 distance becomes linear at 1, and the loss has weight 0.1.
    - Keys are initialized uniformly in `±key_dim ** -0.5`, values normally with
      standard deviation `d ** -0.5`; scores are not divided by a temperature.
    - Slots are numbered `row * num_keys + column`; the paper's broadcast would
      number the columns first.

    A key-balance loss, keys that open later and sharded values are not part of
    the paper. All are off by default.

    During training the layer tracks three running means that Keras logs:
    `memory_loss` (without its weight), `query_norm` (mean length of `M_Q`) and
    `read_out_norm` (of `M_O`).

    Args:
        num_keys: Integer. Number of keys on each axis; the memory has
            `num_keys ** 2` slots. Defaults to `300`.
        top_k: Integer. Number of slots that each head reads for each query.
            Defaults to `32`.
        hidden_units: Tuple of integers. Hidden layers of the user-aware MLP, or
            `None` for `(2 * d,)`. Defaults to `None`.
        pooling: `"mean"`, `"sum"`, `"sqrtn"` (see `SequencePooling`),
            `"target_attention"` (needs `target`) or `"none"`, which returns the
            read-out of each position. Defaults to `"mean"`.
        user_merge: `"concat"` or `"add"` (needs `du = d`). Defaults to
            `"concat"`.
        memory_loss_weight: Float. The paper's α; 0 turns the loss off. Defaults
            to `0.1`.
        stop_gradient: Where the gradient of the memory loss stops. `"target"`:
            at `M_Q` as its target; `"none"`: nowhere (the literal formula);
            `"memory_only"`: everywhere but at keys and values. Defaults to
            `"target"`.
        smooth_l1_beta: Positive float. Distance at which the loss changes from
            quadratic to linear. Defaults to `1.0`.
        query_target: Boolean. Whether the candidate also reads the memory. Its
            read-out is appended, and does not enter the memory loss. Defaults to
            `False`.
        **kwargs: Other arguments of `ProductKeyMemory` except `value_dim`, which
            is `d`: `num_heads`, `key_dim`, `query_norm`, `key_norm`,
            `key_balance_weight`, `head_merge`, `temperature`,
            `value_initializer`, `memory_placement` and `open_keys`; and base
            layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`; or `(events, d)` with
            `windows`.
        user: Optional float tensor of shape `(batch, du)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        windows: Optional `Windows` of the rows into events that they share. Each
            event reads once, as a query of the user of the rows that see it.
        target: Float tensor of shape `(batch, d)`, required by
            `pooling="target_attention"` and `query_target`.
        training: Boolean. Whether to use query statistics of the batch.

    Returns:
        Float tensor of shape `(batch, d)`, `(batch, 2 * d)` with
        `query_target`, or `(batch, length, d)` with `pooling="none"`.

    Raises:
        ValueError: If an argument is out of its range, or `target` is missing.

    Example:

    >>> layer = LargeMemory(num_keys=20, top_k=4)
    >>> layer(np.ones((2, 5, 8)), user=np.ones((2, 3))).shape
    TensorShape([2, 8])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs.
          4-12.
    """

    def __init__(
        self,
        num_keys: int = 300,
        top_k: int = 32,
        *,
        hidden_units: int | Sequence[int] | None = None,
        pooling: str = "mean",
        user_merge: str = "concat",
        memory_loss_weight: float = 0.1,
        stop_gradient: str = "target",
        smooth_l1_beta: float = 1.0,
        query_target: bool = False,
        **kwargs: Any,
    ) -> None:
        memory_options = {key: kwargs.pop(key) for key in _MEMORY_OPTIONS if key in kwargs}
        super().__init__(**kwargs)
        check_choice("user_merge", user_merge, ("concat", "add"))
        _check(pooling, stop_gradient, memory_loss_weight, smooth_l1_beta, query_target)
        self.pooling = pooling
        self.user_merge = user_merge
        self.memory_loss_weight = memory_loss_weight
        self.stop_gradient = stop_gradient
        self.smooth_l1_beta = smooth_l1_beta
        self.query_target = query_target
        self.user_aware_query = UserAwareQuery(
            hidden_units, user_merge, name="user_aware_query", dtype=self.dtype_policy
        )
        self.hidden_units = self.user_aware_query.hidden_units
        self.memory = ProductKeyMemory(
            num_keys, top_k, **memory_options, name="memory", dtype=self.dtype_policy
        )
        self.attention = None
        if pooling == "target_attention":
            self.attention = TargetAttention(name="attention", dtype=self.dtype_policy)
        self.memory_loss_tracker = RunningMean(name="memory_loss")
        self.query_norm_tracker = RunningMean(name="query_norm")
        self.read_out_norm_tracker = RunningMean(name="read_out_norm")

    def __getattr__(self, name):
        # Options of the memory are attributes of the layer, too.
        if name not in ("num_keys", "top_k", *_MEMORY_OPTIONS) or "memory" not in vars(self):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.memory, name)

    @property
    def memory_size(self) -> int:
        """Number of slots, `num_keys ** 2`."""
        return self.memory.memory_size

    def build(
        self,
        history_shape: tuple[int | None, ...],
        user_shape: tuple[int | None, ...] | None = None,
        target_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        width = history_shape[-1]
        if self._needs_target and target_shape is not None and target_shape[-1] != width:
            raise ValueError(
                "`target` must be as wide as `history`. "
                f"Received: target width={target_shape[-1]}, history width={width}"
            )
        self.user_aware_query.build(history_shape, user_shape)
        # The memory loss compares read-outs with queries, so values have the same width.
        self.memory.build((None, width))
        if self.attention is not None:
            self.attention.build(history_shape, (history_shape[0], width))

    @property
    def _needs_target(self):
        return self.query_target or self.pooling == "target_attention"

    def call(
        self,
        history: tf.Tensor,
        user: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        target: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        if self._needs_target and target is None:
            raise ValueError(
                "`target` must be given for `pooling='target_attention'` and `query_target`. "
                "Received: target=None"
            )
        events, positions = events_of(history, mask, windows)
        queries = self.user_aware_query.query(events, user, positions)  # (E, d)
        num_events = tf.shape(queries)[0]
        inputs, counts = queries, positions.event_weights
        if self.query_target:
            candidates = self.user_aware_query.query_rows(tf.cast(target, queries.dtype), user)
            inputs = tf.concat([queries, candidates], axis=0)  # (E + batch, d)
            if counts is not None:
                ones = tf.ones([tf.shape(candidates)[0]], counts.dtype)
                counts = tf.concat([counts, ones], axis=0)
        reading = self.memory.read(inputs, counts, training)
        read_out = by_event(reading.read_out[:num_events])  # (E, d)
        self._add_memory_loss(queries, read_out, reading, positions, training)
        pooled = self._pool(read_out, positions, target, training)  # (batch, d), if pooled
        if self.query_target:
            pooled = tf.concat([pooled, reading.read_out[num_events:]], axis=-1)  # (batch, 2 * d)
        return pooled

    def _pool(self, read_out, positions, target, training):
        if self.pooling == "none":
            return positions.put(positions.pairs(read_out))  # (batch, length, d)
        if self.pooling == "target_attention":
            return self.attention(read_out, target, windows=positions, training=training)
        return getattr(positions, f"event_{self.pooling}")(read_out)

    def _add_memory_loss(self, queries, read_out, reading, positions, training):
        if self.stop_gradient == "memory_only":
            read_out = self.memory.read_again(reading)[: tf.shape(queries)[0]]
        queries, read_out = tf.cast(queries, tf.float32), tf.cast(read_out, tf.float32)
        loss_target = queries if self.stop_gradient == "none" else tf.stop_gradient(queries)
        distance = smooth_l1(loss_target, read_out, self.smooth_l1_beta)  # (E, d)
        loss = positions.mean(tf.reduce_mean(distance, axis=-1))
        if self.memory_loss_weight:
            weighted = self.memory_loss_weight * loss
            add_replicated_loss(self, weighted, count=positions.num_pairs)
        if training:
            self.memory_loss_tracker.update_state(loss)
            self.query_norm_tracker.update_state(positions.mean(tf.norm(queries, axis=-1)))
            self.read_out_norm_tracker.update_state(positions.mean(tf.norm(read_out, axis=-1)))

    def read(
        self, history: tf.Tensor, user: tf.Tensor | None = None, mask: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns the slots that each behavior reads, to measure the use of the memory.

        Args:
            history: Float tensor of shape `(batch, length, d)`.
            user: Optional float tensor of shape `(batch, du)`.
            mask: Optional boolean tensor of shape `(batch, length)`.

        Returns:
            Tuple `(read_out, slots, weights)` of shapes `(batch, length, d)`,
            `(batch, length, num_heads, top_k)` and the same. At padding the
            read-out and the weights are 0 and the slots -1.
        """
        history = tf.cast(history, self.compute_dtype)
        events, positions = events_of(history, mask, windows=None)
        queries = self.user_aware_query.query(events, user, positions)
        reading = self.memory.read(queries, positions.event_weights, training=False)
        return (
            positions.put(reading.read_out),
            positions.put(reading.slots + 1) - 1,
            positions.put(reading.weights),
        )

    def compute_mask(self, inputs: tf.Tensor, previous_mask: Any) -> Any:
        return previous_mask if self.pooling == "none" else None

    def compute_output_shape(
        self,
        history_shape: tuple[int | None, ...],
        user_shape: tuple[int | None, ...] | None = None,
        target_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        if self.pooling == "none":
            return tuple(history_shape)
        width = history_shape[-1]
        return (history_shape[0], 2 * width if self.query_target else width)

    def get_config(self) -> dict[str, Any]:
        memory_options = self.memory.get_config()
        return {
            **super().get_config(),
            **{name: memory_options[name] for name in ("num_keys", "top_k", *_MEMORY_OPTIONS)},
            "hidden_units": None if self.hidden_units is None else list(self.hidden_units),
            "pooling": self.pooling,
            "user_merge": self.user_merge,
            "memory_loss_weight": self.memory_loss_weight,
            "stop_gradient": self.stop_gradient,
            "smooth_l1_beta": self.smooth_l1_beta,
            "query_target": self.query_target,
        }


def _check(pooling, stop_gradient, memory_loss_weight, smooth_l1_beta, query_target):
    check_choice("pooling", pooling, ("mean", "sum", "sqrtn", "target_attention", "none"))
    check_choice("stop_gradient", stop_gradient, ("target", "none", "memory_only"))
    check_not_negative("memory_loss_weight", memory_loss_weight)
    check_positive_number("smooth_l1_beta", smooth_l1_beta)
    if query_target and pooling == "none":
        raise ValueError(
            "`query_target` must be False with `pooling='none'`: a sequence has no place "
            "for the candidate's read-out. Received: query_target=True"
        )
