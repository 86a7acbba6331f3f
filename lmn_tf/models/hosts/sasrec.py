"""Self-attentive sequential recommendation, as a click model."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.self_attentive_encoder import SelfAttentiveEncoder
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.options import SASRecOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class SASRec(CTRModel):
    """Click model that reads each history by causal self-attention.

    Computes `logit = MLP(concat[user, item, context, cross, h, h * target])`, where `h` is the
    encoded newest event of a sequence; an empty history returns 0. The blocks are those of the code
    released with the paper; the head is ours, since the paper ranks items by their product with
    `h`. Positions are counted from the newest event, elapsed time is added to every event, and the
    dropout rate is 0.1 instead of 0.5 (our choices).

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `SASRecOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If `num_heads` does not divide the width of a sequence.

    Complexity:
        `O(num_blocks * (L ** 2 * d + L * d ** 2))` with `L` of at most `max_positions`, and
        `O(num_blocks * d ** 2 + max_positions * d)` parameters. `h` does not depend on the
        candidate and can be cached per user.

    Example:

    >>> SASRec(spec, max_positions=10, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, section 3.
    """

    Options = SASRecOptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        arguments = self.options.arguments(SASRecOptions, history_dropout="dropout")
        self.history_encoders = {
            sequence.name: SelfAttentiveEncoder(
                **arguments,
                dtype=self.dtype_policy,
                name=f"{sequence.name}_encoder",
            )
            for sequence in self.spec.sequences
        }
        self._check_heads()

    def _check_heads(self):
        for name, width in self.encoder.widths["histories"].items():
            if width % self.options.num_heads:
                raise UserError(
                    f"`num_heads` must divide the width {width} of the sequence {name!r}. "
                    f"Received: num_heads={self.options.num_heads}"
                )

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        parts = []
        for name, history in groups["histories"].items():
            state = self.history_encoders[name](
                history.padded, mask=history.mask, training=training
            )
            parts += [state, state * history.target]
        return parts
