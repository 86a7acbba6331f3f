"""Deep interest network."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.target_attention import TargetAttention
from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.models.base.batch_softmax_plugin import BatchSoftmaxPlugin
from lmn_tf.models.options import DINOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class DIN(BatchSoftmaxPlugin):
    """Click model that reads each history by attention of the candidate.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target)])`, with one
    attention unit per sequence. Padding has no weight; an empty history returns 0.

    The attention unit is that of the code published with the paper (two layers and softmax), except
    that it does not divide the scores by the root of the width. In the paper, it has one layer and
    no softmax. Elapsed time is added to every event (our choice).

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `DINOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d * h)` per candidate, with `h` the first of `attention_units`. Only the embedded
        events can be cached per user.

    Example:

    >>> DIN(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
          section 4.3.
    """

    Options = DINOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        options = self.options
        self.pool = None
        if options.add_pooling or not options.attention:
            self.pool = SequencePooling(options.pooling, dtype=self.dtype_policy, name="pool")
        self.attention_layers = {}
        if options.attention:
            self.attention_layers = {
                sequence.name: TargetAttention(
                    options.attention_units,
                    activation=options.attention_activation,
                    weight_normalization=options.attention_weights,
                    dtype=self.dtype_policy,
                    name=f"{sequence.name}_attention",
                )
                for sequence in self.spec.sequences
            }

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = super().read_histories(groups, training=training)
        for name, history in groups["histories"].items():
            if self.options.attention:
                parts.append(
                    self.attention_layers[name](
                        history.vectors,
                        history.target,
                        windows=history.windows,
                        training=training,
                    )
                )
            if self.pool is not None:
                parts.append(self.pool(history.vectors, windows=history.windows))
        return parts
