"""Memory-free control of LMN."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.layers.memory.user_aware_query import UserAwareQuery
from lmn_tf.models.hosts.din import DIN
from lmn_tf.models.options import UserAwarePoolingOptions
from lmn_tf.ops.sequence.by_event import by_event
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class UserAwarePooling(DIN):
    """LMN without its memory, as a control: the user-aware queries are pooled.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target), pool(M_Q)])`
    with the queries `M_Q = MLP(merge(x, u))` of LMN. If this model has the same gain over DIN as
    LMN, the gain is due to the user-aware MLP, not to the memory. The control is ours, not part of
    the paper.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `UserAwarePoolingOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d * h)` per user for the queries, which can be cached, and `O(L * d * h)` per
        candidate for DIN.

    Example:

    >>> UserAwarePooling(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eq. 4.
    """

    Options = UserAwarePoolingOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        options = self.options
        self.query_pool = SequencePooling(
            options.memory_pooling, dtype=self.dtype_policy, name="query_pool"
        )
        self.queries = {
            sequence.name: UserAwareQuery(
                options.memory_hidden_units,
                options.user_merge,
                dtype=self.dtype_policy,
                name=f"{sequence.name}_query",
            )
            for sequence in self.spec.sequences
        }

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = super().read_histories(groups, training=training)
        user = groups["user"] if self.encoder.widths["user"] else None
        for name, history in groups["histories"].items():
            events, windows = history.of_fields(self.options.memory_fields)
            queries = by_event(self.queries[name](events, user=user, windows=windows))
            parts.append(self.query_pool(queries, windows=windows))
        return parts
