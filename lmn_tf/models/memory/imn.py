"""Iterative memory network."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.core.position_embedding import PositionEmbedding
from lmn_tf.layers.memory.iterative_memory import IterativeMemory
from lmn_tf.metrics.attention_entropy import AttentionEntropy
from lmn_tf.models.base.ctr_metrics import Untracked
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import IMNOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class IMN(CTRModel):
    """Click model that reads each history several times, with a memory of the last walk.

    Computes `logit = MLP(concat[user, item, context, cross, IterativeMemory(history, target)])`,
    where behaviors have an embedding of their position. Each sequence has a separate memory. The
    attention multiplies embeddings: with small initial values (`initializer_scale` of a table), it
    may take long until the walks distinguish behaviors. `evaluate` returns the entropy of the
    weights of each walk: `attention_entropy_1`, ... The variants IMN 2P, 3P and 3P+ of the paper
    have 2, 3 and 3 walks with 0, 0 and 3 enhancements.

    Differences from the paper, and choices where it is silent: elapsed time is a row of a table
    times a linear map to the width of the behaviors, and then added, while the table of the paper
    has the width of the behaviors; positions count from the newest behavior; the attention has 64
    hidden units; the two recurrent units are those of Keras with separate weights, and the map of
    the last memory has no bias; the head is that of all models here.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `IMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(num_walks * L * d * attention_units)` time per candidate, memory linear in `L`;
        `O(d * attention_units + d ** 2 + L * d)` parameters. Every walk depends on the candidate:
        only the encoded history can be cached per user.

    Example:

    >>> IMN(spec, num_walks=2, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
          Systems", section 4.
    """

    Options = IMNOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.memories, self.position_layers, entropies = {}, {}, []
        for sequence in self.spec.sequences:
            self.memories[sequence.name] = self._make_memory(f"{sequence.name}_memory")
            if self.options.positions != "none":
                self.position_layers[sequence.name] = PositionEmbedding(
                    sequence.max_length,
                    encoding=self.options.positions,
                    dtype=self.dtype_policy,
                    name=f"{sequence.name}_positions",
                )
            entropies.append(self._make_entropy(sequence.name))
        self._entropies = Untracked(entropies)

    def _make_memory(self, name):
        arguments = self.options.arguments(
            IMNOptions,
            attention_units="hidden_units",
            attention_activation="activation",
            attention_weights="weight_normalization",
        )
        del arguments["positions"]
        return IterativeMemory(
            **arguments,
            dtype=self.dtype_policy,
            name=name,
        )

    def _make_entropy(self, name):
        walks = self.memories[name].num_reads
        prefix = f"{name}_" if len(self.spec.sequences) > 1 else ""
        return AttentionEntropy(walks, prefix=prefix, name="attention_entropy") if walks else None

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = []
        for entropy, (name, history) in zip(
            self._entropies.metrics, groups["histories"].items(), strict=True
        ):
            events, windows = history.vectors, history.windows
            if name in self.position_layers:  # the position depends on the pair
                events, windows = windows.placed(events)
                events = self.position_layers[name](events, windows=windows)
            with self._watched(name, entropy, training):
                parts.append(self.memories[name](events, history.target, windows=windows))
        return parts

    def _watched(self, name, entropy, training):
        if entropy is None or training or not self._evaluating:
            return contextlib.nullcontext()
        return self.memories[name].watched(entropy.update_state)

    def evaluation_metrics(self) -> list[keras.metrics.Metric]:
        entropies = [entropy for entropy in self._entropies.metrics if entropy is not None]
        return [*super().evaluation_metrics(), *entropies]
