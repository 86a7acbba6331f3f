"""Options of models whose features interact as tokens."""

from typing import Literal

from lmn_tf.models.options.histories import DINOptions
from lmn_tf.models.options.memory import ProductKeyMemoryOptions
from lmn_tf.models.options.record import AtLeastTwo, option
from lmn_tf.specs.yaml.section import Flag, NonNegative, Positive, Problem


class RankMixerOptions(DINOptions):
    """Options of `RankMixer`."""

    num_tokens: Positive = option(8, "Number of tokens `T`, a divisor of `token_dim`.")
    token_dim: Positive = option(64, "Width `D` of a token.")
    num_blocks: Positive = option(2, "Number of blocks.")
    expansion: Positive = option(
        4, "Hidden width of the feed-forward part, as a multiple of `token_dim`."
    )

    def check(self) -> None:
        super().check()
        if self._has_tokens and self.token_dim % self.num_tokens:
            raise Problem(
                ("num_tokens",),
                f"`num_tokens` must divide `token_dim`, {self.token_dim}. "
                f"Received: num_tokens={self.num_tokens}",
            )

    @property
    def _has_tokens(self):
        return True


class SparseMoEOptions(RankMixerOptions):
    """Options of `SparseMoE`."""

    routed_experts: Positive = option(16, "Number of experts of each token of each block.")
    active_experts: Positive = option(
        4, "Target number of experts that a token uses, a divisor of `expansion * token_dim`."
    )
    routing: Literal["relu", "softmax"] = option(
        "relu",
        'Gates of experts: `"relu"`, with a loss that closes gates, or a softmax over the best.',
    )
    balance_weight: NonNegative = option(0.01, 'Weight of the load-balance loss of `"softmax"`.')

    def check(self) -> None:
        super().check()
        if self.active_experts > self.routed_experts:
            raise Problem(
                ("active_experts",),
                f"`active_experts` must be at most `routed_experts`, {self.routed_experts}. "
                f"Received: active_experts={self.active_experts}",
            )
        width = self.expansion * self.token_dim
        if width % self.active_experts:
            raise Problem(
                ("active_experts",),
                f"`active_experts` must divide `expansion * token_dim`, {width}. "
                f"Received: active_experts={self.active_experts}",
            )


class SparseMemoryOptions(ProductKeyMemoryOptions):
    """Options of `SparseMemory`."""

    num_keys: AtLeastTwo = 128
    top_k: AtLeastTwo = 16
    key_dim: Positive | None = 32
    value_dim: Positive | None = option(
        None, "Width of the values, or `None` for the width of a token."
    )
    key_expansion: Positive | None = option(
        4, "Factor of the width of over-parameterized keys, or `None` for free keys."
    )
    query_norm: Literal["layer", "batch", "none"] = "layer"
    query_source: Literal["token", "mean", "user_aware"] = option(
        "token", "Inputs of queries: each token, the mean of tokens, or each token with the user."
    )
    gate: Literal["swiglu", "sigmoid", "residual", "scalar"] = option(
        "swiglu", "Gate of read-outs, see `MemoryGate`."
    )
    zero_output: Flag = option(False, "Whether memories have no effect before training.")

    def check(self) -> None:
        super().check()
        if self.zero_output and self.gate == "sigmoid":
            raise Problem(
                ("zero_output",),
                "`zero_output` must be False with `gate='sigmoid'`, whose output is not zero for "
                "zero weights. Received: zero_output=True",
            )


class MSNOptions(SparseMemoryOptions, RankMixerOptions):
    """Options of `MSN`."""

    host: Literal["rankmixer", "mlp"] = option(
        "rankmixer",
        "Host of the memories: blocks of `RankMixer`, or one block on all features.",
    )
    placement: Literal["parallel", "replace"] = option(
        "parallel", "Whether a memory is added to the feed-forward part or replaces it."
    )

    @property
    def _has_tokens(self):
        return self.host == "rankmixer"
