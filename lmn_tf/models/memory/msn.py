"""Model with sparsely activated memories."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.layers.tokens.feature_tokens import FeatureTokens
from lmn_tf.layers.tokens.feed_forward_block import FeedForwardBlock
from lmn_tf.models.base.slot_usage import SlotCounter
from lmn_tf.models.hosts.rankmixer import RankMixer
from lmn_tf.models.options import MSNOptions, SparseMemoryOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class MSN(RankMixer):
    """Click model that scales by memories of which each input reads a few slots.

    This is a reconstruction from the abstract, titles of figures and summaries of the paper; its
    equations were not available. `SparseMemory` explains what is known.

    - `host="rankmixer"`: each block of `RankMixer` has a memory that every token reads:
      `S = LN(TokenMixing(X) + X)`, `X = LN(S + PerTokenMLP(S) + memory(S))`.
    - `host="mlp"`: the concatenated features `x`, crossed according to `interaction`, pass through
      one block `LN(x + FFN(x) + memory(x))` before the head. `num_tokens`, `token_dim` and
      `num_blocks` are ignored.

    With `placement="replace"`, there is no feed-forward part. `evaluate` returns the use of the
    slots: `slots_used` (percent), `memory_kl` and `slots_for_90`, separately if there are several
    blocks.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `MSNOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout, use batch statistics and add losses.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If `query_source="user_aware"` and the spec has no user features.
        ValueError: If another option is out of its range.

    Complexity:
        A memory takes `O(num_heads * (num_keys * key_dim + top_k * value_dim) + D * value_dim)` per
        token, in addition to the block of RankMixer, independent of its `num_keys ** 2 * value_dim`
        weights. The embedded history can be cached per user; reads cannot, since tokens mix user
        and candidate.

    Example:

    >>> options = {"num_tokens": 4, "token_dim": 8, "num_keys": 10, "top_k": 4}
    >>> MSN(spec, hidden_units=(16,), **options)(features).shape
    TensorShape([2, 1])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction).
    """

    Options = MSNOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        if self.options.query_source == "user_aware" and not self.encoder.widths["user"]:
            raise UserError(
                "`query_source` must not be 'user_aware' for a feature spec without user features. "
                f"Received: query_source='user_aware' for {self.spec.name!r}"
            )
        self._slots = SlotCounter({block.name: block.memory for block in self.blocks})

    def make_backbone(self) -> tuple[FeatureTokens | None, list[keras.layers.Layer]]:
        if self.options.host == "rankmixer":
            return super().make_backbone()
        block = FeedForwardBlock(**self.make_parts(""), dtype=self.dtype_policy, name="block")
        return None, [block]

    def make_parts(self, prefix: str) -> dict[str, keras.layers.Layer]:
        parts = {"memory": self._make_memory(f"{prefix}memory")}
        if self.options.placement == "replace":
            return parts
        return {**super().make_parts(prefix), **parts}

    def _make_memory(self, name):
        arguments = self.options.arguments(SparseMemoryOptions)
        return SparseMemory(**arguments, dtype=self.dtype_policy, name=name)

    def interact(
        self, vector: tf.Tensor, groups: dict[str, Any], training: bool | None = None
    ) -> tf.Tensor:
        with self._slots.counting(self._evaluating and not training):
            if self.options.host == "rankmixer":
                return super().interact(vector, groups, training=training)
            # All features are one token.
            token = self.blocks[0](vector[:, None, :], user=self._user(groups), training=training)
            return token[:, 0, :]

    def evaluation_metrics(self) -> list[keras.metrics.Metric]:
        return [*super().evaluation_metrics(), *self._slots.metrics]

    def memory_usage(self) -> dict[str, dict[str, float]]:
        """Returns the use of the slots in the last evaluation.

        Returns:
            Dictionary from the name of a block to the dictionary of `usage_statistics`.
        """
        return self._slots.statistics()
