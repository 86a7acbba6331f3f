"""Serving: the export of a trained model, and a scorer for it."""

import importlib

_EXPORTS = {
    "Scorer": "lmn_tf.serving.scorer",
    "export": "lmn_tf.serving.export",
}

__all__ = ["Scorer", "export"]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.serving' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
