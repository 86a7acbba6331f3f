"""Large memory network."""

import contextlib
from typing import Literal

import keras

from lmn_tf.layers.large_memory import LargeMemory
from lmn_tf.models.ctr_model import Untracked
from lmn_tf.models.din import DIN
from lmn_tf.models.slot_usage import SlotUsage


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMN(DIN):
    """DIN beside a large memory that all users share.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target), memory])`,
    where `memory` pools what the user-aware events of the history read from `num_keys ** 2`
    slots, and adds `memory_loss_weight` times the memory loss. Each sequence has a memory of its
    own. `evaluate` tells how the slots were used: `slots_used` (per cent), `memory_kl` and
    `slots_for_90`.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        num_keys: Integer. Keys on each axis: the paper's √n. Defaults to `300`.
        top_k: Integer. Slots that a head reads for each event. Defaults to `32`.
        num_heads: Integer. Defaults to `1`.
        key_dim: Integer, or `None` for the history's width. Defaults to `None`.
        memory_hidden_units: Tuple of integers, or `None` for twice the history's width. Hidden
            layers of the user-aware MLP. Defaults to `None`.
        query_norm: `"batch"`, `"layer"` or `"none"`. Defaults to `"batch"`.
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
        **kwargs: Options of `DIN` and `CTRModel`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Example:

    >>> LMN(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12.
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
        memory_pooling: Literal["mean", "sum", "target_attention"] = "mean",
        head_merge: Literal["sum", "mean", "concat"] = "sum",
        user_merge: Literal["concat", "add"] = "concat",
        memory_loss_weight: float = 0.1,
        stop_gradient: Literal["target", "none", "memory_only"] = "target",
        smooth_l1_beta: float = 1.0,
        temperature: float = 1.0,
        query_target: bool = False,
        **kwargs,
    ):
        super().__init__(spec, **kwargs)
        self.num_keys = num_keys
        self.top_k = top_k
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.memory_hidden_units = memory_hidden_units
        self.query_norm = query_norm
        self.memory_pooling = memory_pooling
        self.head_merge = head_merge
        self.user_merge = user_merge
        self.memory_loss_weight = memory_loss_weight
        self.stop_gradient = stop_gradient
        self.smooth_l1_beta = smooth_l1_beta
        self.temperature = temperature
        self.query_target = query_target
        self.memories = {
            sequence.name: self._make_memory(f"{sequence.name}_memory")
            for sequence in self.spec.sequences
        }
        several = len(self.memories) > 1
        usage = [
            SlotUsage(memory.memory_size, prefix=f"{name}_" if several else "", name=memory.name)
            for name, memory in self.memories.items()
        ]
        self._usage = Untracked(usage)

    def _make_memory(self, name):
        return LargeMemory(
            num_keys=self.num_keys,
            top_k=self.top_k,
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            hidden_units=self.memory_hidden_units,
            query_norm=self.query_norm,
            pooling=self.memory_pooling,
            head_merge=self.head_merge,
            user_merge=self.user_merge,
            memory_loss_weight=self.memory_loss_weight,
            stop_gradient=self.stop_gradient,
            smooth_l1_beta=self.smooth_l1_beta,
            temperature=self.temperature,
            query_target=self.query_target,
            dtype=self.dtype_policy,
            name=name,
        )

    def read_histories(self, groups, training=None):
        parts = super().read_histories(groups, training=training)
        user = groups["user"] if self.encoder.widths["user"] else None
        for usage, (name, one) in zip(
            self._usage.metrics, groups["histories"].items(), strict=True
        ):
            with self._counted(name, usage, training):
                parts.append(
                    self.memories[name](
                        one["history"],
                        user=user,
                        mask=one["mask"],
                        target=one["target"],
                        training=training,
                    )
                )
        return parts

    def _counted(self, name, usage, training):
        if training or not self._evaluating:
            return contextlib.nullcontext()
        return self.memories[name].memory.watched(
            lambda reading, valid: usage.update_state(reading.slots, reading.weights, mask=valid)
        )

    @property
    def metrics(self):
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        # The memory's own means are of training steps.
        training = {id(metric) for memory in self.memories.values() for metric in memory.metrics}
        return [metric for metric in metrics if id(metric) not in training]

    def evaluation_metrics(self):
        return [*super().evaluation_metrics(), *self._usage.metrics]

    def memory_usage(self):
        """Returns how the slots were used in the last evaluation.

        Returns:
            Dictionary from the name of a sequence to that of `usage_statistics`.
        """
        return {
            name: usage.compute()
            for name, usage in zip(self.memories, self._usage.metrics, strict=True)
        }
