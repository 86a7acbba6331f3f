"""The memory in models of tf-keras and TensorFlow Recommenders, which are Keras 2."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "LargeMemory": "large_memory",
    "LendingLayer": "lending_layer",
    "SparseMemory": "sparse_memory",
    "copy_cross": "cross_weights",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, check=require_tensorflow)
