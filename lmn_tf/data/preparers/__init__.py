"""Preparers: publishers' files in, rows for training, validation and test out."""

import importlib

_EXPORTS = {
    "DATASETS": "lmn_tf.data.preparers.preparation",
    "prepare": "lmn_tf.data.preparers.preparation",
    "PrepareOptions": "lmn_tf.data.preparers.prepare_options",
}

__all__ = ["DATASETS", "PrepareOptions", "prepare"]


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)
