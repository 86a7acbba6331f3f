"""Keras layers: the large memory, and what click models are built from."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Dice": "dice",
    "LargeMemory": "large_memory",
    "MLP": "mlp",
    "MaskedBatchNormalization": "masked_batch_normalization",
    "ProductKeyMemory": "product_key_memory",
    "SequencePooling": "sequence_pooling",
    "TargetAttention": "target_attention",
    "UserAwareQuery": "user_aware_query",
}

__all__ = [
    "Dice",
    "LargeMemory",
    "MLP",
    "MaskedBatchNormalization",
    "ProductKeyMemory",
    "SequencePooling",
    "TargetAttention",
    "UserAwareQuery",
]

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
