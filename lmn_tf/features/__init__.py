"""Embedding of encoded columns into the dense groups that models read."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "EmbeddingTable": "embedding_table",
    "FeatureEncoder": "feature_encoder",
    "WideLogits": "wide_logits",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
