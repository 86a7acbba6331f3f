"""Base model without histories."""

import keras

from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import DNNOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class DNN(CTRModel):
    """Base click model: an MLP on all features except the histories.

    Computes `logit = MLP(concat[user, item, context, cross])`.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `DNNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(1)` in the length of histories, which it does not read.

    Example:

    >>> DNN(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Covington et al., "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    """

    Options = DNNOptions
