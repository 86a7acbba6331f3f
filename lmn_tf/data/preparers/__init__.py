"""Preparers of public data sets: files of publishers to rows for training, validation and test."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "DATASETS": "preparation",
    "prepare": "preparation",
    "PrepareOptions": "options",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
