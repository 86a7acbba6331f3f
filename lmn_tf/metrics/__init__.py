"""Metrics of ranking, of calibration and of memory usage."""

import importlib

_EXPORTS = {
    "GroupedAUC": "grouped_auc",
    "LogLoss": "log_loss",
    "MemoryUsage": "memory_usage",
    "NormalizedEntropy": "normalized_entropy",
    "StreamingAUC": "streaming_auc",
    "logloss_improvement": "relative_improvement",
    "rela_impr": "relative_improvement",
    "usage_statistics": "memory_usage",
}

__all__ = [
    "GroupedAUC",
    "LogLoss",
    "MemoryUsage",
    "NormalizedEntropy",
    "StreamingAUC",
    "logloss_improvement",
    "rela_impr",
    "usage_statistics",
]


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
