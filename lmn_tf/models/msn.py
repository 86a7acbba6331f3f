"""The model with sparsely activated memories."""

from typing import Literal

import keras

from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.layers.tokens.feed_forward_block import FeedForwardBlock
from lmn_tf.models.rankmixer import RankMixer
from lmn_tf.models.slot_usage import SlotCounter
from lmn_tf.specs.errors import UserError


@keras.saving.register_keras_serializable(package="lmn_tf")
class MSN(RankMixer):
    """A click model that scales by memories of which each input reads a few slots.

    A reconstruction: of the paper only the abstract, the figures' titles and second-hand digests
    were at hand, not its equations. See `SparseMemory` for what is known.

    - `host="rankmixer"`: each block of `RankMixer` has a memory that every token reads:
      `S = LN(TokenMixing(X) + X)`, `X = LN(S + PerTokenMLP(S) + memory(S))`.
    - `host="mlp"`: the concatenated features `x`, crossed where `interaction` says so, go through
      one block `LN(x + FFN(x) + memory(x))` before the head. `num_tokens`, `token_dim` and
      `num_blocks` have no meaning.

    With `placement="replace"` the feed-forward part is left out. `evaluate` tells how the slots
    were used: `slots_used` (per cent), `memory_kl` and `slots_for_90`, of each block where there
    are several.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        host: `"rankmixer"` or `"mlp"`. Defaults to `"rankmixer"`.
        placement: `"parallel"` to the feed-forward part, or to `"replace"` it. Defaults to
            `"parallel"`.
        num_keys: Integer. Keys on each axis; a memory has its square of slots. Defaults to `128`.
        top_k: Integer. Slots that a head reads for each token. Defaults to `16`.
        num_heads: Integer. Defaults to `1`.
        key_dim: Integer, or `None` for the width of what queries are made from. Defaults to `32`.
        value_dim: Integer, or `None` for the width of a token. Defaults to `None`.
        key_expansion: Integer: over-parameterised keys are that much wider; `None` for free keys.
            Defaults to `4`.
        key_norm: Boolean. Whether keys are layer-normalised. Defaults to `True`.
        query_norm: `"layer"`, `"batch"` or `"none"`. Defaults to `"layer"`.
        query_source: `"token"`, `"mean"` or `"user_aware"`. Defaults to `"token"`.
        gate: `"swiglu"`, `"sigmoid"`, `"residual"` or `"scalar"`. Defaults to `"swiglu"`.
        zero_output: Boolean. Whether memories start without effect. Defaults to `False`.
        key_balance_weight: Float. Weight of the key-balance loss. Defaults to `0.0`.
        temperature: Float that divides the scores of the slots. Defaults to `1.0`.
        memory_placement: `"replicated"` or `"row_wise"`: whether each device of a distributed run
            holds all values, or its share of them. Defaults to `"replicated"`.
        open_keys: Integer, or `None` for all. Keys on each axis that can be read at first: a
            warm start closes those that it adds, and training opens them. Defaults to `None`.
        **kwargs: Options of `RankMixer`, `DIN` and `CTRModel`, and base model arguments such as
            `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units, use batch statistics and add losses.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If `query_source="user_aware"` and the spec has no user features.
        ValueError: If another option is out of its range.

    Complexity:
        A memory takes O(num_heads * (num_keys * key_dim + top_k * value_dim) + D * value_dim) per
        token, beside the block of RankMixer, whatever its `num_keys**2 * value_dim` weights. The
        embedded history can be cached per user; reads cannot, as tokens mix user and candidate.

    Example:

    >>> options = {"num_tokens": 4, "token_dim": 8, "num_keys": 10, "top_k": 4}
    >>> MSN(spec, hidden_units=(16,), **options)(features).shape
    TensorShape([2, 1])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction).
    """

    def __init__(
        self,
        spec,
        *,
        host: Literal["rankmixer", "mlp"] = "rankmixer",
        placement: Literal["parallel", "replace"] = "parallel",
        num_keys: int = 128,
        top_k: int = 16,
        num_heads: int = 1,
        key_dim: int | None = 32,
        value_dim: int | None = None,
        key_expansion: int | None = 4,
        key_norm: bool = True,
        query_norm: Literal["layer", "batch", "none"] = "layer",
        query_source: Literal["token", "mean", "user_aware"] = "token",
        gate: Literal["swiglu", "sigmoid", "residual", "scalar"] = "swiglu",
        zero_output: bool = False,
        key_balance_weight: float = 0.0,
        temperature: float = 1.0,
        memory_placement: Literal["replicated", "row_wise"] = "replicated",
        open_keys: int | None = None,
        **kwargs,
    ):
        # Before the base class, which makes the blocks.
        self.host = host
        self.placement = placement
        self.num_keys = num_keys
        self.top_k = top_k
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.key_expansion = key_expansion
        self.key_norm = key_norm
        self.query_norm = query_norm
        self.query_source = query_source
        self.gate = gate
        self.zero_output = zero_output
        self.key_balance_weight = key_balance_weight
        self.temperature = temperature
        self.memory_placement = memory_placement
        self.open_keys = open_keys
        super().__init__(spec, **kwargs)
        if query_source == "user_aware" and not self.encoder.widths["user"]:
            raise UserError(
                "`query_source` must not be 'user_aware' for a feature spec without user features. "
                f"Received: query_source='user_aware' for {self.spec.name!r}"
            )
        self._slots = SlotCounter({block.name: block.memory for block in self.blocks})

    def make_backbone(self):
        if self.host == "rankmixer":
            return super().make_backbone()
        block = FeedForwardBlock(**self.make_parts(""), dtype=self.dtype_policy, name="block")
        return None, [block]

    def make_parts(self, prefix):
        parts = {"memory": self._make_memory(f"{prefix}memory")}
        return parts if self.placement == "replace" else {**super().make_parts(prefix), **parts}

    def _make_memory(self, name):
        return SparseMemory(
            num_keys=self.num_keys,
            top_k=self.top_k,
            num_heads=self.num_heads,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            key_expansion=self.key_expansion,
            key_norm=self.key_norm,
            query_norm=self.query_norm,
            query_source=self.query_source,
            gate=self.gate,
            zero_output=self.zero_output,
            key_balance_weight=self.key_balance_weight,
            temperature=self.temperature,
            memory_placement=self.memory_placement,
            open_keys=self.open_keys,
            dtype=self.dtype_policy,
            name=name,
        )

    def interact(self, vector, groups, training=None):
        with self._slots.counting(self._evaluating and not training):
            if self.host == "rankmixer":
                return super().interact(vector, groups, training=training)
            # All features are one token.
            token = self.blocks[0](vector[:, None, :], user=self._user(groups), training=training)
            return token[:, 0, :]

    def evaluation_metrics(self):
        return [*super().evaluation_metrics(), *self._slots.metrics]

    def memory_usage(self):
        """Returns how the slots were used in the last evaluation.

        Returns:
            Dictionary from the name of a block to that of `usage_statistics`.
        """
        return self._slots.statistics()
