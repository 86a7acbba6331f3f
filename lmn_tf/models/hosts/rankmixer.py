"""Token-mixing model."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.tokens.feature_tokens import FeatureTokens
from lmn_tf.layers.tokens.per_token_mlp import PerTokenMLP
from lmn_tf.layers.tokens.rank_mixer_block import RankMixerBlock
from lmn_tf.models.hosts.din import DIN
from lmn_tf.models.options import RankMixerOptions
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class RankMixer(DIN):
    """Click model whose features interact as tokens that exchange parts.

    The concatenation of all groups and the histories as encoded by DIN is split into tokens. They
    pass through blocks `S = LN(TokenMixing(X) + X)`, `X = LN(S + PerTokenMLP(S))`, and the mean of
    the tokens is the input of the head. The paper groups features by meaning; here, tokens are
    slices of equal width in the order of the concatenation. DIN for the histories is our choice.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `RankMixerOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        ValueError: If `num_tokens` does not divide `token_dim`.

    Complexity:
        `O(expansion * T * D ** 2)` per candidate and block, with as many weights, of which each
        token reads a `T`-th. The embedded history can be cached per user; tokens cannot, since they
        mix user and candidate.

    Example:

    >>> RankMixer(spec, num_tokens=4, token_dim=8, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.
    """

    Options = RankMixerOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.tokens, self.blocks = self.make_backbone()

    def make_backbone(self) -> tuple[FeatureTokens, list[keras.layers.Layer]]:
        """Returns the layer that creates tokens, and the list of blocks."""
        tokens = FeatureTokens(
            self.options.num_tokens,
            self.options.token_dim,
            dtype=self.dtype_policy,
            name="tokens",
        )
        blocks = [
            RankMixerBlock(
                **self.make_parts(f"block_{index}_"),
                dtype=self.dtype_policy,
                name=f"block_{index}",
            )
            for index in range(self.options.num_blocks)
        ]
        return tokens, blocks

    def make_parts(self, prefix: str) -> dict[str, keras.layers.Layer]:
        """Returns the layers of a block by argument of `RankMixerBlock`; subclasses override it.

        Args:
            prefix: String. Prefix of the names of layers, which distinguishes blocks.
        """
        feed_forward = PerTokenMLP(
            self.options.expansion, dtype=self.dtype_policy, name=f"{prefix}feed_forward"
        )
        return {"feed_forward": feed_forward}

    def interact(
        self, vector: tf.Tensor, groups: dict[str, Any], training: bool | None = None
    ) -> tf.Tensor:
        vector = super().interact(vector, groups, training=training)
        tokens = self.tokens(vector)
        for block in self.blocks:
            tokens = block(tokens, user=self._user(groups), training=training)
        return tf.reduce_mean(tokens, axis=1)

    def _user(self, groups):
        return groups["user"] if self.encoder.widths["user"] else None
