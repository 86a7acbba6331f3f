"""The token-mixing model with sparse experts."""

import keras

from lmn_tf.layers.tokens.sparse_mixture_of_experts import SparseMixtureOfExperts
from lmn_tf.models.hosts.rankmixer import RankMixer
from lmn_tf.models.options import SparseMoEOptions


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
        **options: Options of `SparseMoEOptions`, and base model arguments such as `name`.

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

    Options = SparseMoEOptions

    def make_parts(self, prefix: str) -> dict[str, keras.layers.Layer]:
        experts = SparseMixtureOfExperts(
            self.options.routed_experts,
            self.options.active_experts,
            self.options.expansion,
            routing=self.options.routing,
            balance_weight=self.options.balance_weight,
            dtype=self.dtype_policy,
            name=f"{prefix}experts",
        )
        return {"feed_forward": experts}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        # How many gates were open is counted in training steps.
        training = {id(metric) for block in self.blocks for metric in block.metrics}
        return [metric for metric in metrics if id(metric) not in training]
