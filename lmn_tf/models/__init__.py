"""Click models that are built from a feature spec."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "CTRHead": "ctr_head",
    "CTRModel": "ctr_model",
    "DIEN": "dien",
    "DIN": "din",
    "DNN": "dnn",
    "IMN": "imn",
    "LMN": "lmn",
    "LMNMIMN": "lmn_mimn",
    "LMNSIM": "lmn_sim",
    "MIMN": "mimn",
    "MSN": "msn",
    "Pooling": "pooling",
    "RankMixer": "rankmixer",
    "SASRec": "sasrec",
    "SIM": "sim",
    "SparseMoE": "sparse_moe",
    "UBR4CTR": "ubr4ctr",
    "UserAwarePooling": "user_aware_pooling",
}

__all__ = [
    "DIEN",
    "DIN",
    "DNN",
    "IMN",
    "LMN",
    "LMNMIMN",
    "LMNSIM",
    "MIMN",
    "MSN",
    "SIM",
    "UBR4CTR",
    "CTRHead",
    "CTRModel",
    "Pooling",
    "SASRec",
    "RankMixer",
    "SparseMoE",
    "UserAwarePooling",
    "registry",
]

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
