"""Keras layers: the large memory, and what click models are built from."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "AttentionalGRU": "evolution.attentional_gru",
    "BehaviorRetrieval": "retrieval.behavior_retrieval",
    "BehaviorSearch": "retrieval.behavior_search",
    "BilinearAttention": "attention.bilinear_attention",
    "Dice": "core.dice",
    "ExpertMixture": "core.expert_mixture",
    "FeatureInteraction": "core.feature_interaction",
    "FeatureTokens": "tokens.feature_tokens",
    "FeedForwardBlock": "tokens.feed_forward_block",
    "FieldSelector": "retrieval.field_selector",
    "InterestEvolution": "evolution.interest_evolution",
    "IterativeMemory": "memory.iterative_memory",
    "KeyedPairMemory": "memory.keyed_pair_memory",
    "LargeMemory": "memory.large_memory",
    "MLP": "core.mlp",
    "MaskedBatchNormalization": "core.masked_batch_normalization",
    "MemoryGate": "memory.memory_gate",
    "MultiHeadTargetAttention": "attention.multi_head_target_attention",
    "MultiWayAttention": "memory.multi_way_attention",
    "NextBehaviorLoss": "evolution.next_behavior_loss",
    "PairMemory": "memory.pair_memory",
    "PerTokenMLP": "tokens.per_token_mlp",
    "PositionEmbedding": "core.position_embedding",
    "ProductKeyMemory": "memory.product_key_memory",
    "RankMixerBlock": "tokens.rank_mixer_block",
    "SamplingProbability": "retrieval.sampling_probability",
    "SelfAttentionBlock": "attention.self_attention_block",
    "SelfAttentionSelector": "retrieval.self_attention_selector",
    "SelfAttentiveEncoder": "attention.self_attentive_encoder",
    "SequencePooling": "core.sequence_pooling",
    "SparseMemory": "memory.sparse_memory",
    "SparseMixtureOfExperts": "tokens.sparse_mixture_of_experts",
    "TargetAttention": "attention.target_attention",
    "TokenMixing": "tokens.token_mixing",
    "UserAwareQuery": "memory.user_aware_query",
    "UserInterestMemory": "memory.user_interest_memory",
    "WeightedMatch": "retrieval.weighted_match",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
