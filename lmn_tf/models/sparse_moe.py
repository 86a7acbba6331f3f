"""The token-mixing model with sparse experts."""

from typing import Literal

import keras

from lmn_tf.layers.tokens.sparse_mixture_of_experts import SparseMixtureOfExperts
from lmn_tf.models.rankmixer import RankMixer


@keras.saving.register_keras_serializable(package="lmn_tf")
class SparseMoE(RankMixer):
    """RankMixer whose feed-forward parts are sparse mixtures of experts: the rival of MSN.

    A block computes `S = LN(TokenMixing(X) + X)` and `X = LN(S + sum_j G_j(S) * expert_j(S))`, with
    gates most of which are 0.

    Has `routed_experts / active_experts` times the feed-forward weights of `RankMixer` at equal
    cost: an expert's hidden width is `expansion * token_dim / active_experts`, so that the experts
    that a token uses have together as many weights to read, and take as many multiply-adds, as the
    part they stand in for; the router adds `token_dim * routed_experts`. What is counted, and that
    all experts are computed here, is told by `SparseMixtureOfExperts`. The losses of the routers
    join the model's in training. Each mixture has one router, for training and for serving: the
    paper trains two, a dense one for training beside a sparse one for inference.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        routed_experts: Integer. Experts of each token of each block. Defaults to `16`.
        active_experts: Integer. How many of them a token shall use. Defaults to `4`.
        routing: `"relu"`, with a loss that keeps gates shut, or `"softmax"` over the best. Defaults
            to `"relu"`.
        balance_weight: Float. Weight of the load-balance loss of `"softmax"`. Defaults to `0.01`.
        **kwargs: Options of `RankMixer`, `DIN` and `CTRModel` (where `num_experts` is about the
            head), and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to drop units, use batch statistics and add losses.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        ValueError: If an option is out of its range.

    Complexity:
        Counting active experts only, O(T * D * (expansion * D + routed_experts)) per candidate and
        block; O(T * expansion * D**2 * routed_experts / active_experts) weights. As in RankMixer,
        the embedded history can be cached per user.

    Example:

    >>> SparseMoE(spec, num_tokens=4, token_dim=8, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Zhu et al., "RankMixer: Scaling Up Ranking Models in Industrial Recommenders", CIKM 2025,
          section 3.5.
    """

    def __init__(
        self,
        spec,
        *,
        routed_experts: int = 16,
        active_experts: int = 4,
        routing: Literal["relu", "softmax"] = "relu",
        balance_weight: float = 0.01,
        **kwargs,
    ):
        # Before the base class, which makes the blocks.
        self.routed_experts = routed_experts
        self.active_experts = active_experts
        self.routing = routing
        self.balance_weight = balance_weight
        super().__init__(spec, **kwargs)

    def make_parts(self, prefix):
        experts = SparseMixtureOfExperts(
            self.routed_experts,
            self.active_experts,
            self.expansion,
            routing=self.routing,
            balance_weight=self.balance_weight,
            dtype=self.dtype_policy,
            name=f"{prefix}experts",
        )
        return {"feed_forward": experts}

    @property
    def metrics(self):
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        # How many gates were open is counted in training steps.
        training = {id(metric) for block in self.blocks for metric in block.metrics}
        return [metric for metric in metrics if id(metric) not in training]
