"""Click models whose users share one large trainable memory, for Keras 3 and TensorFlow.

Every public name is loaded on first use, so `import lmn_tf` (and with it `lmn-tf check`) does not
wait for TensorFlow. Keras finds the package's classes by their registered names all the same: this
import is enough for `keras.models.load_model`.
"""

from lmn_tf import keras_registry
from lmn_tf.lazy_exports import lazy_exports
from lmn_tf.version import __version__

_EXPORTS = {
    "FeatureSpec": "specs.feature_spec",
    "PipelineSpec": "specs.pipeline_spec",
    "make_dataset": "data.dataset",
}

__all__ = [
    "FeatureSpec",
    "PipelineSpec",
    "__version__",
    "callbacks",
    "features",
    "integrations",
    "layers",
    "make_dataset",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "serving",
    "training",
]

keras_registry.register()

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)
