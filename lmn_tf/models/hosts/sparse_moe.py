"""Token-mixing model with sparse experts."""

import keras

from lmn_tf.layers.tokens.sparse_mixture_of_experts import SparseMixtureOfExperts
from lmn_tf.models.hosts.rankmixer import RankMixer
from lmn_tf.models.options import SparseMoEOptions


@keras.saving.register_keras_serializable(package="lmn_tf")
class SparseMoE(RankMixer):
    """RankMixer with sparse mixtures of experts, the alternative to MSN.

    A block computes `S = LN(TokenMixing(X) + X)` and `X = LN(S + sum_j G_j(S) * expert_j(S))`, with
    gates most of which are 0.

    It has `routed_experts / active_experts` times the feed-forward weights of `RankMixer` at equal
    cost. The hidden width of an expert is `expansion * token_dim / active_experts`, so that all
    experts of a token together have as many weights and multiply-adds as the feed-forward part of
    `RankMixer`; the router adds `token_dim * routed_experts`. `SparseMixtureOfExperts` explains the
    counts, and that all experts are computed here. The losses of the routers are added in training.
    Each mixture has one router for training and serving; the paper trains two, a dense one for
    training and a sparse one for inference.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `SparseMoEOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout, use batch statistics and add losses.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        ValueError: If an option is out of its range.

    Complexity:
        With active experts only, `O(T * D * (expansion * D + routed_experts))` per candidate and
        block; `O(T * expansion * D ** 2 * routed_experts / active_experts)` weights. As in
        RankMixer, the embedded history can be cached per user.

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
