"""Mixin that adds a large memory to a click model."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import name_running_means
from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.models.base.ctr_head import CTRHead
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.slot_usage import SlotCounter
from lmn_tf.models.options import LargeMemoryOptions, MemoryPluginOptions
from lmn_tf.specs.feature_spec import FeatureSpec


class MemoryPlugin(CTRModel):
    """Mixin that adds a large memory to a click model, the host.

    `class LMN(MemoryPlugin, DIN)`, for example, is DIN with a memory. `memorize` sets the queries:

    - `"history"`, as in the paper: each event of each history is a user-aware query, and the pooled
      read-outs are concatenated to the input of the head. Each sequence has a separate memory. By
      default, queries are computed from the fields of the event without the elapsed time, so that
      rows of a user share the reads of their events.
    - `"cross"`: the query is the input of the head (all groups, the histories as encoded by the
      host, and their interactions), projected to `memory_dim`. The read-out is concatenated to it.
    - `"hidden"`: the query is the last shared hidden layer of the head, projected in the same way.
      The read-out is concatenated to it before the logits.

    The paper only mentions the last two as future work; their form is our choice. `evaluate`
    returns the use of the slots: `slots_used` (percent), `memory_kl` and `slots_for_90`.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `MemoryPluginOptions`, and base model arguments such as `name`.

    Raises:
        UserError: If `memorize="hidden"` is combined with experts, or options of histories are used
            with `"cross"` or `"hidden"`.

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12 and section 5.
    """

    Options = MemoryPluginOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        memorize = self.options.memorize
        names = [memorize]
        if memorize == "history":
            names = [sequence.name for sequence in self.spec.sequences]
        self.memories = {name: self._make_memory(f"{name}_memory") for name in names}
        name_running_means(self.memories)
        self.query_projection = None
        if memorize != "history":
            self.query_projection = keras.layers.Dense(
                self.options.memory_dim, dtype=self.dtype_policy, name=f"{memorize}_projection"
            )
        inner = {name: memory.memory for name, memory in self.memories.items()}
        self._slots = SlotCounter(inner)

    def make_head(self, extra_units: int = 0) -> CTRHead:
        hidden = self.options.memory_dim if self.options.memorize == "hidden" else 0
        return super().make_head(extra_units + hidden)

    def _make_memory(self, name):
        arguments = self.options.arguments(
            LargeMemoryOptions, memory_pooling="pooling", memory_hidden_units="hidden_units"
        )
        return LargeMemory(
            **arguments,
            dtype=self.dtype_policy,
            name=name,
        )

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = super().read_histories(groups, training=training)
        if self.options.memorize == "history":
            for name, history in groups["histories"].items():
                events, windows = history.of_fields(self.options.memory_fields)
                sequence = {"windows": windows, "target": history.target}
                parts.append(self._read(name, events, groups, training, **sequence))
        return parts

    def interact(
        self, vector: tf.Tensor, groups: dict[str, Any], training: bool | None = None
    ) -> tf.Tensor:
        vector = super().interact(vector, groups, training=training)
        if self.options.memorize != "cross":
            return vector
        return tf.concat([vector, self._read_row(vector, groups, training)], axis=-1)

    def to_logits(
        self,
        vector: tf.Tensor,
        groups: dict[str, Any],
        training: bool | None = None,
        extra: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        if self.options.memorize == "hidden":

            def extra(hidden):
                return self._read_row(hidden, groups, training)

        return super().to_logits(vector, groups, training=training, extra=extra)

    def _read_row(self, vector, groups, training):
        """Read-outs of one vector per row, `(batch, memory_dim)`."""
        query = self.query_projection(vector)[:, None, :]
        return self._read(self.options.memorize, query, groups, training)

    def _read(self, name, history, groups, training, **sequence):
        user = groups["user"] if self.encoder.widths["user"] else None
        with self._slots.counting(self._evaluating and not training):
            return self.memories[name](history, user=user, training=training, **sequence)

    def evaluation_metrics(self) -> list[keras.metrics.Metric]:
        return [*super().evaluation_metrics(), *self._slots.metrics]

    def memory_usage(self) -> dict[str, dict[str, float]]:
        """Returns the use of the slots in the last evaluation.

        Returns:
            Dictionary from the name of a sequence, or of another memory, to the dictionary of
            `usage_statistics`.
        """
        return self._slots.statistics()
