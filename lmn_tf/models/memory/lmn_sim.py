"""Large memory network on SIM."""

import keras

from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.hosts.sim import SIM
from lmn_tf.models.options import LMNSIMOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMNSIM(MemoryPlugin, SIM):
    """SIM with a large memory that all users share.

    Computes `logit = MLP(concat[inputs of the head of SIM, memory])`, with the memory of `LMN`.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `LMNSIMOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        That of SIM, and `O(L * (√n * d + K * d))` per user for the memory, whose read-outs do not
        depend on the candidate and can be cached; `n * d` parameters of values.

    Example:

    >>> LMNSIM(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, section 3.2.
    """

    Options = LMNSIMOptions
