"""Click models that are built from a feature spec."""

import importlib

_EXPORTS = {
    "CTRHead": "lmn_tf.models.ctr_head",
    "CTRModel": "lmn_tf.models.ctr_model",
    "DIN": "lmn_tf.models.din",
    "DNN": "lmn_tf.models.dnn",
    "LMN": "lmn_tf.models.lmn",
    "Pooling": "lmn_tf.models.pooling",
    "UserAwarePooling": "lmn_tf.models.user_aware_pooling",
}

__all__ = ["DIN", "DNN", "LMN", "CTRHead", "CTRModel", "Pooling", "UserAwarePooling", "registry"]


def __getattr__(name):
    if name == "registry":
        return importlib.import_module("lmn_tf.models.registry")
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.models' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
