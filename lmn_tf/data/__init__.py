"""Data files to batches, as a feature spec says."""

import importlib

_EXPORTS = {
    "BatchReader": "lmn_tf.data.batch_reader",
    "check_files": "lmn_tf.data.check",
    "learn": "lmn_tf.data.vocabulary",
    "make_dataset": "lmn_tf.data.dataset",
}

__all__ = ["BatchReader", "check_files", "learn", "make_dataset"]


def __getattr__(name):
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.data' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
