"""Deep interest evolution network."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import name_running_means
from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.layers.evolution.interest_evolution import InterestEvolution
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import DIENOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class DIEN(CTRModel):
    """Click model that follows the interest in the candidate through each history.

    Computes `logit = MLP(concat[user, item, context, cross, DIEN(history, target)])`, with two
    recurrent units and one attention per sequence: interests `h_t = GRU(e_t)`, weights
    `a_t = softmax_t(score(h_t, v))`, and the last state of a unit whose steps are weighted by
    `a_t`. Padding has no weight and keeps the states; an empty history returns 0.

    In training, an auxiliary loss trains `h_t` to distinguish the next behavior from one of another
    row of the batch (our choice of negatives; the draws are seeded, and their state is saved). The
    loss is the mean over events with a next one; the released code also counts padding. The units
    are the GRU of Keras, and elapsed time is added to every event (our choices).

    Rows whose windows start with the same event share their interests `h_t` and, in the auxiliary
    loss, the negatives, weighted by the number of rows. Rows whose histories were truncated to
    their newest events start with other events and share nothing. Attention and evolution are
    computed per row.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `DIENOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics, and to add the
            auxiliary loss.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d ** 2)` per candidate, in `L` sequential steps. Half of it, the interests `h_t`, can
        be cached per user. `13 * d ** 2` parameters per sequence, plus those of the auxiliary
        network.

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
        name_running_means(self.evolutions)

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
