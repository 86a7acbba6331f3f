"""Large memory network."""

import keras

from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.hosts.din import DIN
from lmn_tf.models.options import LMNOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMN(MemoryPlugin, DIN):
    """DIN beside a large memory that all users share.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target), memory])`,
    where `memory` pools what the user-aware events of the history read from `num_keys ** 2`
    slots, and adds `memory_loss_weight` times the memory loss. Each sequence has a memory of its
    own. `evaluate` tells how the slots were used: `slots_used` (per cent), `memory_kl` and
    `slots_for_90`.

    By default queries are batch-normalized and keys layer-normalized, because without it most reads
    collapse to a small part of the slots; the paper normalizes neither, which
    `query_norm="none"` and `key_norm=False` give. `LargeMemory` lists what else is our choice.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        **options: Options of `LMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * (√n * d + K * d))` a user for the memory, whose read-outs do not depend on the
        candidate and can be cached, and DIN's `O(L * d * h)` a candidate; `n * d` parameters of
        values.

    Example:

    >>> LMN(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12.
    """

    Options = LMNOptions
