"""Click models that are built from a feature spec."""

from lmn_tf.keras_backend import require_tensorflow
from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "CTRHead": "base.ctr_head",
    "CTRModel": "base.ctr_model",
    "DIEN": "hosts.dien",
    "DIN": "hosts.din",
    "DNN": "hosts.dnn",
    "IMN": "memory.imn",
    "LMN": "memory.lmn",
    "LMNMIMN": "memory.lmn_mimn",
    "LMNPair": "memory.lmn_pair",
    "LMNSIM": "memory.lmn_sim",
    "LMNTwoTower": "memory.lmn_two_tower",
    "ItemCorpus": "base.item_corpus",
    "MIMN": "hosts.mimn",
    "MSN": "memory.msn",
    "Pooling": "hosts.pooling",
    "RankMixer": "hosts.rankmixer",
    "SASRec": "hosts.sasrec",
    "SIM": "hosts.sim",
    "SparseMoE": "hosts.sparse_moe",
    "StrongPooling": "hosts.strong_pooling",
    "TwoTower": "hosts.two_tower",
    "UBR4CTR": "hosts.ubr4ctr",
    "UserAwarePooling": "memory.user_aware_pooling",
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
    "ItemCorpus",
    "LMNPair",
    "LMNTwoTower",
    "SparseMoE",
    "StrongPooling",
    "TwoTower",
    "UserAwarePooling",
    "registry",
]

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS, require_tensorflow)
