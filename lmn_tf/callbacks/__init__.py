"""Keras callbacks that watch the memory while a model trains."""

import importlib

_EXPORTS = {"MemoryTensorBoard": "lmn_tf.callbacks.memory_tensorboard"}

__all__ = ["MemoryTensorBoard"]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.callbacks' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
