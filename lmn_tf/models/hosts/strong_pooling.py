"""Pooled histories with the options that win on public data."""

import keras

from lmn_tf.models.hosts.pooling import Pooling
from lmn_tf.models.options import StrongPoolingOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class StrongPooling(Pooling):
    """`Pooling` with the options that win on public data as its defaults.

    Computes `logit = scale * trained + sum_t w_t term_t + offset` in evaluation and serving, with
    `trained = MLP(concat[groups, products with the candidate]) + wide`, the groups of `Pooling`,
    and the terms of `rates`, `counts`, `history_counts` and `softmax_score`. With `counts`, the
    weights change with the training rows of the item. It is the memory-free control of `LMNPair`.
    Any of its parts can be turned off; without all of them, it is `Pooling`.

    Scale, offset and weights of the terms are fitted to validation rows when the training has
    ended: `lmn-tf train` does so, and after a plain `fit`, call
    `lmn_tf.training.terms.written_terms.write_terms`. Before, and without these terms
    (`rates=False, softmax_score=False`), the logits are those that are trained.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `StrongPoolingOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If no item feature has one id in each row, which the second loss and the rates
            need.

    Complexity:
        That of `Pooling`, and a product with the candidate for each other group.

    Example:

    >>> StrongPooling(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Ours: a name for options of `Pooling` that have papers of their own, see
          `BatchSoftmaxPlugin`, `FeatureInteraction` and `RateTerms`.
    """

    Options = StrongPoolingOptions
