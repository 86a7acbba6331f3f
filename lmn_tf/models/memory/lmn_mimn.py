"""Large memory network on MIMN."""

import keras
import tensorflow as tf

from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.hosts.mimn import MIMN
from lmn_tf.models.options import LMNMIMNOptions
from lmn_tf.specs.errors import UserError


@keras.saving.register_keras_serializable(package="lmn_tf")
class LMNMIMN(MemoryPlugin, MIMN):
    """MIMN with a large memory that all users share.

    Computes `logit = MLP(concat[inputs of the head of MIMN, memory])`, with the memory of `LMN`.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `LMNMIMNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        That of MIMN, and `O(L * (√n * d + K * d))` per user for the memory, whose read-outs do not
        depend on the candidate and can be cached; `n * d` parameters of values.

    Example:

    >>> LMNMIMN(spec, num_keys=10, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Lu et al., "Large Memory Network for Recommendation", WWW 2025, section 3.2.
    """

    Options = LMNMIMNOptions

    def initial_state(self, batch_size: int | tf.Tensor) -> dict[str, dict[str, tf.Tensor]]:
        """Not supported: the read-outs of the memory are not part of the state of MIMN."""
        raise UserError(
            "`LMNMIMN` must be given whole histories: it has no incremental state. "
            f"Received: batch_size={batch_size}"
        )
