"""Preparers of public data sets: files of publishers to rows for training, validation and test."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Column": "column",
    "DATASETS": "preparation",
    "prepare": "preparation",
    "Plan": "plan",
    "PrepareOptions": "options",
    "Sources": "sources",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
