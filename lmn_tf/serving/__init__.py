"""Serving: the export of a trained model, and a scorer for it."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Scorer": "scorer",
    "export": "saved_model",
    "export_index": "retrieval_index",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
