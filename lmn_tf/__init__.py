"""Click models whose users share one large trainable memory, for Keras 3 and TensorFlow.

Every public name is loaded on first use, so `import lmn_tf` (and with it `lmn-tf check`) does not
wait for TensorFlow.
"""

import importlib
from typing import Any

from lmn_tf.version import __version__

_EXPORTS = {
    "FeatureSpec": ("lmn_tf.specs.feature_spec", "FeatureSpec"),
    "PipelineSpec": ("lmn_tf.specs.pipeline_spec", "PipelineSpec"),
    "make_dataset": ("lmn_tf.data.dataset", "make_dataset"),
}

_MODULES = frozenset(
    {
        "callbacks",
        "features",
        "layers",
        "metrics",
        "models",
        "ops",
        "optimizers",
        "serving",
        "training",
    }
)

__all__ = [
    "FeatureSpec",
    "PipelineSpec",
    "__version__",
    "callbacks",
    "features",
    "layers",
    "make_dataset",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "serving",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"lmn_tf.{name}")
    if name in _EXPORTS:
        module, attribute = _EXPORTS[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'lmn_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
