"""Deep interest network."""

from typing import Literal

import keras

from lmn_tf.layers.attention.target_attention import TargetAttention
from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.models.ctr_model import CTRModel


@keras.saving.register_keras_serializable(package="lmn_tf")
class DIN(CTRModel):
    """A click model that reads each history with the candidate in view.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(history, target)])`, with one
    attention unit a sequence. Padding gets no weight; an empty history gives 0.

    The attention unit is that of code published with the paper, two layers and softmax, but for a
    root of the width that divides the scores there; the paper's has one layer and no softmax.
    Elapsed time is added to every event (our choice).

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        attention: Boolean. Whether histories are read by target attention, else they are
            averaged, which is the model `Pooling`. Defaults to `True`.
        attention_units: Tuple of integers. Hidden layers of the attention unit. Defaults to
            `(80, 40)`.
        attention_activation: Activation of those layers. Defaults to `"sigmoid"`.
        attention_weights: `"softmax"`, or `"raw"` scores as in the paper. Defaults to
            `"softmax"`.
        add_pooling: Boolean. Whether the head sees the averaged history as well. Defaults to
            `False`.
        **kwargs: Options of `CTRModel`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Complexity:
        `O(L * d * h)` a candidate, with `h` the first of `attention_units`; of the user, only the
        embedded events can be cached.

    Example:

    >>> DIN(spec, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
          section 4.3.
    """

    reads_histories = True

    def __init__(
        self,
        spec,
        *,
        attention: bool = True,
        attention_units: tuple[int, ...] = (80, 40),
        attention_activation: Literal["sigmoid", "dice", "prelu", "relu"] = "sigmoid",
        attention_weights: Literal["softmax", "raw"] = "softmax",
        add_pooling: bool = False,
        **kwargs,
    ):
        super().__init__(spec, **kwargs)
        self.attention = attention
        self.attention_units = tuple(attention_units)
        self.attention_activation = attention_activation
        self.attention_weights = attention_weights
        self.add_pooling = add_pooling
        self.pool = None
        if add_pooling or not attention:
            self.pool = SequencePooling(dtype=self.dtype_policy, name="pool")
        self.attention_layers = {}
        if attention:
            self.attention_layers = {
                sequence.name: TargetAttention(
                    self.attention_units,
                    activation=attention_activation,
                    weight_normalization=attention_weights,
                    dtype=self.dtype_policy,
                    name=f"{sequence.name}_attention",
                )
                for sequence in self.spec.sequences
            }

    def read_histories(self, groups, training=None):
        parts = []
        for name, one in groups["histories"].items():
            if self.attention:
                parts.append(
                    self.attention_layers[name](
                        one["history"], one["target"], mask=one["mask"], training=training
                    )
                )
            if self.pool is not None:
                parts.append(self.pool(one["history"], mask=one["mask"]))
        return parts
