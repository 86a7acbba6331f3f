"""The token-mixing model."""

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
    """A click model whose features meet as tokens that exchange their parts.

    The concatenation of all groups and of DIN's reading of the histories is cut into tokens, which
    pass through blocks `S = LN(TokenMixing(X) + X)`, `X = LN(S + PerTokenMLP(S))`; the mean of the
    tokens goes to the head. The paper groups features by meaning: here the order of the
    concatenation decides, in slices of one width. That DIN reads the histories is our choice.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        **options: Options of `RankMixerOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        ValueError: If `num_tokens` does not divide `token_dim`.

    Complexity:
        A block takes O(expansion * T * D**2) per candidate and has as many weights; each token
        reads a T-th of them. The embedded history can be cached per user, no token can, as
        tokens mix user and candidate.

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
        """Returns the layer that makes tokens, and the list of blocks."""
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
        """Returns a block's layers by argument of `RankMixerBlock`; for subclasses to override.

        Args:
            prefix: String before the names of layers that shall be told apart between blocks.
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
