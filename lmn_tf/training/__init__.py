"""Training: the trainer, its run directory, checkpoints, evaluation and comparisons."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Checkpoints": "saving.checkpoints",
    "Comparison": "comparison.comparison",
    "EarlyStopping": "early_stopping",
    "Evaluator": "evaluation.evaluator",
    "RunDirectory": "saving.run_directory",
    "Trainer": "trainer",
    "TrainingLoop": "training_loop",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
