"""From a batch of encoded columns to the dense groups that models read."""

import importlib

_EXPORTS = {
    "EmbeddingTable": "lmn_tf.features.embedding_table",
    "FeatureEncoder": "lmn_tf.features.feature_encoder",
}

__all__ = ["EmbeddingTable", "FeatureEncoder"]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.features' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
