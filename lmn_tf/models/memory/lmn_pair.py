"""Pooled histories with a memory of pairs."""

import keras

from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.models.hosts.strong_pooling import StrongPooling
from lmn_tf.models.options import LMNPairOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMNPair(PairMemoryPlugin, StrongPooling):
    """Strong pooling with a memory of the pairs of an event and the candidate.

    Computes `logit = host(row) + w sum_j V[x_j, item] / sqrt(n)`, with the values `V` of the pairs
    of an event `x_j`, one of `n`, and the candidate, which all users share; `pair_pooling` has
    other sums, and with `pair_readings="several"` there are other readings beside it, with weights
    of their own (`PairMemory`). The host is `StrongPooling`, and with the same options its control:
    the same model without the memory. The model is ours, not part of the paper of LMN.

    With `pair_values="ease"`, the default, the values are not trained: they, and the weights of all
    terms, are written when the training has ended. `lmn-tf train` does so. A plain `fit` trains the
    host alone; call `lmn_tf.training.terms.written_terms.write_terms` after it, or give
    `pair_values="trained"`, `rates=False` and `softmax_score=False` for a model that is complete
    without.

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
          whose table of pairs is that of a regression here, or trained with the model.
    """

    Options = LMNPairOptions
