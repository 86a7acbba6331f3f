"""Large memory network."""

import keras

from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.hosts.din import DIN
from lmn_tf.models.options import LMNOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMN(MemoryPlugin, DIN):
    """DIN with a large memory that all users share.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target), memory])`,
    where `memory` pools the read-outs of the user-aware events of the history from `num_keys ** 2`
    slots. `memory_loss_weight` times the memory loss is added. Each sequence has a separate memory.
    `evaluate` returns the use of the slots: `slots_used` (percent), `memory_kl` and `slots_for_90`.

    By default, queries are batch-normalized and keys layer-normalized, since otherwise most reads
    collapse to a small part of the slots. The paper normalizes neither (`query_norm="none"` and
    `key_norm=False`). `LargeMemory` lists our other choices.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `LMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * (√n * d + K * d))` per user for the memory, whose read-outs do not depend on the
        candidate and can be cached, and `O(L * d * h)` per candidate for DIN; `n * d` parameters of
        values.

    Example:

    >>> LMN(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12.
    """

    Options = LMNOptions
