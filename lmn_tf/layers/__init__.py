"""Keras layers: the large memory, and what click models are built from."""

import importlib
from typing import Any

_EXPORTS = {
    "Dice": "lmn_tf.layers.dice",
    "LargeMemory": "lmn_tf.layers.large_memory",
    "MLP": "lmn_tf.layers.mlp",
    "MaskedBatchNormalization": "lmn_tf.layers.masked_batch_normalization",
    "ProductKeyMemory": "lmn_tf.layers.product_key_memory",
    "SequencePooling": "lmn_tf.layers.sequence_pooling",
    "TargetAttention": "lmn_tf.layers.target_attention",
    "UserAwareQuery": "lmn_tf.layers.user_aware_query",
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


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.layers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
