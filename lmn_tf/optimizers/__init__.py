"""Optimizers of tables, and which variable gets which optimizer."""

import importlib

_EXPORTS = {
    "GroupOptimizer": "group_optimizer",
    "LossScaleOptimizer": "loss_scale_optimizer",
    "RowWiseAdagrad": "row_wise_adagrad",
    "WarmUp": "warm_up",
    "default": "default_optimizer",
    "from_spec": "spec_optimizer",
    "is_table": "group_optimizer",
    "make_optimizer": "spec_optimizer",
    "merge_gradient": "sparse_gradient",
}

__all__ = [
    "GroupOptimizer",
    "LossScaleOptimizer",
    "RowWiseAdagrad",
    "WarmUp",
    "default",
    "from_spec",
    "is_table",
    "make_optimizer",
    "merge_gradient",
]


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
