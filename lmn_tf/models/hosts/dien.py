"""Deep interest evolution network."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.layers.evolution.interest_evolution import InterestEvolution
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import DIENOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class DIEN(CTRModel):
    """A click model that follows the interest in the candidate through each history.

    Computes `logit = MLP(concat[user, item, context, cross, DIEN(history, target)])`, with two
    recurrent units and an attention a sequence: interests `h_t = GRU(e_t)`, weights
    `a_t = softmax_t(score(h_t, v))`, and the last state of a unit whose steps are weighted by
    `a_t`. Padding gets no weight and carries the states; an empty history gives 0.

    In training, an auxiliary loss has `h_t` tell the next behavior from one of another row of the
    batch, our choice of negatives; the draws are seeded, and their state is saved. The loss is a
    mean over events that have a next one, where the released code counts padding, too. The units
    are Keras' GRU, and elapsed time is added to every event (our choices).

    Rows whose windows begin with the same event share their interests `h_t` and, in the auxiliary
    loss, the negatives, each counted as often as rows see it. Rows whose histories were cut to
    their newest events begin elsewhere, and share nothing. Attention and evolution are of each row.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        **options: Options of `DIENOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics, and to add the
            auxiliary loss.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d ** 2)` a candidate, in `L` steps one after another; of the user, the interests
        `h_t` can be cached, half of it. `13 * d ** 2` parameters a sequence, and the auxiliary
        network's.

    Example:

    >>> DIEN(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Zhou et al., "Deep Interest Evolution Network for Click-Through Rate Prediction",
          AAAI 2019.
    """

    Options = DIENOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.pool = None
        if self.options.add_pooling:
            self.pool = SequencePooling("sum", dtype=self.dtype_policy, name="pool")
        arguments = self.options.arguments(DIENOptions)
        del arguments["add_pooling"]
        self.evolutions = {
            sequence.name: InterestEvolution(
                **arguments,
                dtype=self.dtype_policy,
                name=f"{sequence.name}_evolution",
            )
            for sequence in self.spec.sequences
        }

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = []
        for name, history in groups["histories"].items():
            events, target, windows = history.vectors, history.target, history.windows
            evolution = self.evolutions[name]
            parts.append(evolution(events, target, training=training, windows=windows))
            if self.pool is not None:
                pooled = self.pool(events, windows=windows)
                parts += [pooled, pooled * target]
        return parts
