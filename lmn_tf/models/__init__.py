"""Click models that are built from a feature spec."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "CTRHead": "ctr_head",
    "CTRModel": "ctr_model",
    "DIN": "din",
    "DNN": "dnn",
    "LMN": "lmn",
    "Pooling": "pooling",
    "UserAwarePooling": "user_aware_pooling",
}

__all__ = ["DIN", "DNN", "LMN", "CTRHead", "CTRModel", "Pooling", "UserAwarePooling", "registry"]

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
