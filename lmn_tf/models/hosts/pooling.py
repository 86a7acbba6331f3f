"""Base model with pooled histories."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.models.base.batch_softmax_plugin import BatchSoftmaxPlugin
from lmn_tf.models.options import PoolingOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class Pooling(BatchSoftmaxPlugin):
    """Click model that pools each history.

    Computes `logit = MLP(concat[user, item, context, cross, pool(history)])`, by default with the
    mean of the events. Padding is excluded; an empty history returns 0. The paper of LMN does not
    define the pooling of its baseline: the mean is our choice. With `newest_events`, the newest
    events of each history are pooled by themselves as well.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `PoolingOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d)` per user; the pooled history does not depend on the candidate and can be cached.

    Example:

    >>> Pooling(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    """

    Options = PoolingOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.pool = SequencePooling(self.options.pooling, dtype=self.dtype_policy, name="pool")

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        pooled = [
            self.pool(history.vectors, windows=history.windows)
            for history in self.pooled_histories(groups)
        ]
        return [*super().read_histories(groups, training=training), *pooled]

    def pooled_histories(self, groups: dict[str, Any]) -> list[EncodedHistory]:
        histories = super().pooled_histories(groups)
        if not self.options.newest_events:
            return histories
        return histories + [one.newest(self.options.newest_events) for one in histories]
