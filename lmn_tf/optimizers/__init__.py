"""Optimizers of tables, and the choice of an optimizer for each variable."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "GroupOptimizer": "group_optimizer",
    "LossScaleOptimizer": "loss_scale_optimizer",
    "RowOptimizer": "row_optimizer",
    "RowWiseAdagrad": "row_wise_adagrad",
    "RowWiseAdam": "row_wise_adam",
    "RowWiseSGD": "row_wise_sgd",
    "SparseAdagrad": "sparse_adagrad",
    "WarmUp": "warm_up",
    "averaged_weights": "moving_averages",
    "default": "default_optimizer",
    "from_spec": "spec_optimizer",
    "is_table": "group_optimizer",
    "make_optimizer": "spec_optimizer",
    "merge_gradient": "sparse_gradient",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
