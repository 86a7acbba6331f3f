"""Pooled histories with a memory of pairs."""

import keras

from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.models.hosts.pooling import Pooling
from lmn_tf.models.options import LMNPairOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMNPair(PairMemoryPlugin, Pooling):
    """Pooled histories with a memory of the pairs of an event and the candidate.

    Computes `logit = MLP(concat[user, item, context, cross, pool(history)]) + sum_j V[x_j, item]`,
    with the values `V` of the pairs of an event `x_j` and the candidate, which all users share.
    `pooling` with the same options is its control: the same model without the memory, which it also
    is before the first step. The model is ours, not part of the paper of LMN.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `LMNPairOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d)` per user and `O(L)` per candidate; a value of each pair of ids, or `pair_slots`.
        With keys, `O(L * (d + pair_keys))` per user and `O(pair_keys)` per candidate.

    Example:

    >>> LMNPair(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Sarwar et al., "Item-based collaborative filtering recommendation algorithms", WWW 2001,
          whose table of pairs is trained here with the model.
    """

    Options = LMNPairOptions
