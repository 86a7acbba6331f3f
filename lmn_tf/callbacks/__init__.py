"""Keras callbacks that monitor a model and its memory during training."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "CollapseAlarm": "collapse_alarm",
    "CollapseWarning": "collapse_alarm",
    "MemoryProbe": "memory_probe",
    "MemoryTensorBoard": "memory_tensorboard",
    "OpenKeys": "open_keys",
    "StopAtDivergence": "stop_at_divergence",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
