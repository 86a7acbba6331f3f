"""Metrics of ranking, of calibration and of memory usage."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "AttentionEntropy": "attention_entropy",
    "FactorizedTopK": "factorized_top_k",
    "GroupedAUC": "grouped_auc",
    "LabelMetric": "label_metric",
    "LogLoss": "log_loss",
    "MemoryUsage": "memory_usage",
    "NormalizedEntropy": "normalized_entropy",
    "StreamingAUC": "streaming_auc",
    "rela_impr": "relative_improvement",
    "usage_statistics": "memory_usage",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
