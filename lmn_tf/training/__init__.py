"""Training: the trainer, its run directory, checkpoints, evaluation and comparisons."""

import importlib
from typing import Any

_EXPORTS = {
    "Checkpoints": "lmn_tf.training.checkpoints",
    "Comparison": "lmn_tf.training.comparison",
    "EarlyStopping": "lmn_tf.training.early_stopping",
    "Evaluator": "lmn_tf.training.evaluation",
    "RunDirectory": "lmn_tf.training.run_directory",
    "Trainer": "lmn_tf.training.trainer",
    "TrainingLoop": "lmn_tf.training.training_loop",
}

__all__ = [
    "Checkpoints",
    "Comparison",
    "EarlyStopping",
    "Evaluator",
    "RunDirectory",
    "Trainer",
    "TrainingLoop",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'lmn_tf.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
