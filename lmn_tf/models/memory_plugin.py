"""A large memory beside any click model."""

from typing import Literal

import keras
import tensorflow as tf

from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.models.ctr_model import CTRModel
from lmn_tf.models.slot_usage import SlotCounter
from lmn_tf.specs.errors import UserError


class MemoryPlugin(CTRModel):
    """What makes a click model one with a large memory; derive from it and from the host.

    `class LMN(MemoryPlugin, DIN)` is DIN with all that it reads, and a memory beside it. What the
    memory holds, and what reads it, is told by `memorize`:

    - `"history"`, as in the paper: each event of each history reads, user-aware; the pooled
      read-outs join what the head reads. Each sequence has a memory of its own.
    - `"cross"`: the vector that the head reads (all groups, what the host read of the histories,
      and their interactions) reads, projected to `memory_dim`; the read-out joins it.
    - `"hidden"`: the head's last shared hidden layer reads, projected likewise; the read-out joins
      it before the logits.

    The last two are the paper's outlook, in a form of our choice. `evaluate` tells how the slots
    were used: `slots_used` (per cent), `memory_kl` and `slots_for_90`.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        num_keys: Integer. Keys on each axis: the paper's √n. Defaults to `300`.
        top_k: Integer. Slots that a head reads for each event. Defaults to `32`.
        num_heads: Integer. Defaults to `1`.
        key_dim: Integer, or `None` for the history's width. Defaults to `None`.
        memory_hidden_units: Tuple of integers, or `None` for twice the history's width. Hidden
            layers of the user-aware MLP. Defaults to `None`.
        query_norm: `"batch"`, `"layer"` or `"none"`, as in the paper. Defaults to `"batch"`.
        key_norm: Boolean. Whether keys are layer-normalised; the paper's are not. Defaults to
            `True`.
        key_balance_weight: Float. Weight of the key-balance loss. Defaults to `0.0`.
        memory_pooling: `"mean"`, `"sum"` or `"target_attention"`. Defaults to `"mean"`.
        head_merge: `"sum"`, `"mean"` or `"concat"`. Defaults to `"sum"`.
        user_merge: `"concat"`, or `"add"` where user and history are equally wide. Defaults to
            `"concat"`.
        memory_loss_weight: Float. The paper's α. Defaults to `0.1`.
        stop_gradient: `"target"`, `"none"` or `"memory_only"`: what the memory loss does not
            train. Defaults to `"target"`.
        smooth_l1_beta: Float. Defaults to `1.0`.
        temperature: Float that divides the scores of the slots. Defaults to `1.0`.
        query_target: Boolean. Whether the candidate reads the memory, too. Defaults to `False`.
        memorize: `"history"`, `"cross"` or `"hidden"`. Defaults to `"history"`.
        memory_dim: Integer. Width of the memory's values for `"cross"` and `"hidden"`; for
            `"history"` it is the history's. Defaults to `32`.
        memory_placement: `"replicated"` or `"row_wise"`: whether each device of a distributed run
            holds all values, or its share of them. Defaults to `"replicated"`.
        open_keys: Integer, or `None` for all. Keys on each axis that can be read at first: a
            warm start closes those that it adds, and training opens them. Defaults to `None`.
        **kwargs: Options of the host.

    Raises:
        UserError: If `memorize="hidden"` is combined with experts, or what `"cross"` and
            `"hidden"` lack, a history, is asked for.

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12 and section 5.
    """

    def __init__(
        self,
        spec,
        *,
        num_keys: int = 300,
        top_k: int = 32,
        num_heads: int = 1,
        key_dim: int | None = None,
        memory_hidden_units: tuple[int, ...] | None = None,
        query_norm: Literal["batch", "layer", "none"] = "batch",
        key_norm: bool = True,
        key_balance_weight: float = 0.0,
        memory_pooling: Literal["mean", "sum", "target_attention"] = "mean",
        head_merge: Literal["sum", "mean", "concat"] = "sum",
        user_merge: Literal["concat", "add"] = "concat",
        memory_loss_weight: float = 0.1,
        stop_gradient: Literal["target", "none", "memory_only"] = "target",
        smooth_l1_beta: float = 1.0,
        temperature: float = 1.0,
        query_target: bool = False,
        memorize: Literal["history", "cross", "hidden"] = "history",
        memory_dim: int = 32,
        memory_placement: Literal["replicated", "row_wise"] = "replicated",
        open_keys: int | None = None,
        **kwargs,
    ):
        self.memorize = memorize
        self.memory_dim = memory_dim
        super().__init__(spec, **kwargs)
        self.num_keys = num_keys
        self.top_k = top_k
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.memory_hidden_units = memory_hidden_units
        self.query_norm = query_norm
        self.key_norm = key_norm
        self.key_balance_weight = key_balance_weight
        self.memory_pooling = memory_pooling
        self.head_merge = head_merge
        self.user_merge = user_merge
        self.memory_loss_weight = memory_loss_weight
        self.stop_gradient = stop_gradient
        self.smooth_l1_beta = smooth_l1_beta
        self.temperature = temperature
        self.query_target = query_target
        self.memory_placement = memory_placement
        self.open_keys = open_keys
        self._check_memory()
        names = [memorize]
        if memorize == "history":
            names = [sequence.name for sequence in self.spec.sequences]
        self.memories = {name: self._make_memory(f"{name}_memory") for name in names}
        self.query_projection = None
        if memorize != "history":
            self.query_projection = keras.layers.Dense(
                memory_dim, dtype=self.dtype_policy, name=f"{memorize}_projection"
            )
        inner = {name: memory.memory for name, memory in self.memories.items()}
        self._slots = SlotCounter(inner)

    def _check_memory(self):
        if self.memorize == "history":
            return
        if self.memorize == "hidden" and self.num_experts:
            raise UserError(
                "`num_experts` must be 0 for `memorize='hidden'`: experts have no common hidden "
                f"layer. Received: num_experts={self.num_experts}"
            )
        if self.memory_pooling == "target_attention" or self.query_target:
            raise UserError(
                f"`memory_pooling` and `query_target` must be left alone for "
                f"`memorize={self.memorize!r}`: one vector a row reads. Received: "
                f"memory_pooling={self.memory_pooling!r}, query_target={self.query_target}"
            )

    def make_head(self, extra_units=0):
        hidden = self.memory_dim if self.memorize == "hidden" else 0
        return super().make_head(extra_units + hidden)

    def _make_memory(self, name):
        return LargeMemory(
            num_keys=self.num_keys,
            top_k=self.top_k,
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            hidden_units=self.memory_hidden_units,
            query_norm=self.query_norm,
            key_norm=self.key_norm,
            key_balance_weight=self.key_balance_weight,
            pooling=self.memory_pooling,
            head_merge=self.head_merge,
            user_merge=self.user_merge,
            memory_loss_weight=self.memory_loss_weight,
            stop_gradient=self.stop_gradient,
            smooth_l1_beta=self.smooth_l1_beta,
            temperature=self.temperature,
            query_target=self.query_target,
            memory_placement=self.memory_placement,
            open_keys=self.open_keys,
            dtype=self.dtype_policy,
            name=name,
        )

    def read_histories(self, groups, training=None):
        parts = super().read_histories(groups, training=training)
        if self.memorize == "history":
            for name, one in groups["histories"].items():
                sequence = {"mask": one["mask"], "target": one["target"]}
                parts.append(self._read(name, one["history"], groups, training, **sequence))
        return parts

    def interact(self, vector, groups, training=None):
        vector = super().interact(vector, groups, training=training)
        if self.memorize != "cross":
            return vector
        return tf.concat([vector, self._read_row(vector, groups, training)], axis=-1)

    def to_logits(self, vector, groups, training=None, extra=None):
        if self.memorize == "hidden":

            def extra(hidden):
                return self._read_row(hidden, groups, training)

        return super().to_logits(vector, groups, training=training, extra=extra)

    def _read_row(self, vector, groups, training):
        """Read-outs of one vector a row, `(batch, memory_dim)`."""
        query = self.query_projection(vector)[:, None, :]
        return self._read(self.memorize, query, groups, training)

    def _read(self, name, history, groups, training, **sequence):
        user = groups["user"] if self.encoder.widths["user"] else None
        with self._slots.counting(self._evaluating and not training):
            return self.memories[name](history, user=user, training=training, **sequence)

    @property
    def metrics(self):
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        # The memory's own means are of training steps.
        training = {id(metric) for memory in self.memories.values() for metric in memory.metrics}
        return [metric for metric in metrics if id(metric) not in training]

    def evaluation_metrics(self):
        return [*super().evaluation_metrics(), *self._slots.metrics]

    def memory_usage(self):
        """Returns how the slots were used in the last evaluation.

        Returns:
            Dictionary from the name of a sequence, or what else the memory holds, to that of
            `usage_statistics`.
        """
        return self._slots.statistics()
