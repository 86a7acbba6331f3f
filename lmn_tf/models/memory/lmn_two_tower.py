"""Retrieval model of two towers with a large memory."""

import keras

from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.hosts.two_tower import TwoTower
from lmn_tf.models.options import LMNTwoTowerOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMNTwoTower(MemoryPlugin, TwoTower):
    """Two-tower retrieval model with a large memory in the query tower.

    Computes `query = MLP(concat[user, context, pool(history), memory])`, `candidate = MLP(item)`
    and `logit = scale * query . candidate + bias`, where `memory` pools the read-outs of the
    user-aware events of the history, as in `LMN`. The memory reads nothing of the candidate. The
    paper of LMN has no retrieval model: the combination is ours.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `LMNTwoTowerOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * (√n * d + K * d))` per user for the memory, and `O(d * h)` per candidate, whose
        vector is kept in an index; `n * d` parameters of values.

    Example:

    >>> LMNTwoTower(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, eqs. 4-12; Yi et al.,
          "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys
          2019.
    """

    Options = LMNTwoTowerOptions
