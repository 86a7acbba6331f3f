"""Keras callbacks that watch the memory while a model trains."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "CollapseAlarm": "collapse_alarm",
    "CollapseWarning": "collapse_alarm",
    "MemoryTensorBoard": "memory_tensorboard",
    "OpenKeys": "open_keys",
}

__all__ = ["CollapseAlarm", "CollapseWarning", "MemoryTensorBoard", "OpenKeys"]

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
