"""Options of all models, without TensorFlow."""

from lmn_tf.models.options.base import CTRModelOptions, DNNOptions, PoolingOptions
from lmn_tf.models.options.baselines import (
    BaselineOptions,
    EASEOptions,
    ItemKNNOptions,
    ItemPairsOptions,
    RatesOptions,
    SVDOptions,
)
from lmn_tf.models.options.histories import (
    DIENOptions,
    DINOptions,
    IMNOptions,
    MIMNOptions,
    SASRecOptions,
    SIMOptions,
    TwoTowerOptions,
    UBR4CTROptions,
)
from lmn_tf.models.options.memory import (
    EventQueryOptions,
    LargeMemoryOptions,
    LMNMIMNOptions,
    LMNOptions,
    LMNSIMOptions,
    LMNTwoTowerOptions,
    MemoryPluginOptions,
    ProductKeyMemoryOptions,
    UserAwarePoolingOptions,
    UserAwareQueryOptions,
)
from lmn_tf.models.options.record import Option, Options, option
from lmn_tf.models.options.tokens import (
    MSNOptions,
    RankMixerOptions,
    SparseMemoryOptions,
    SparseMoEOptions,
)

__all__ = [
    "BaselineOptions",
    "CTRModelOptions",
    "DIENOptions",
    "DINOptions",
    "DNNOptions",
    "EASEOptions",
    "IMNOptions",
    "ItemKNNOptions",
    "ItemPairsOptions",
    "LMNMIMNOptions",
    "LMNOptions",
    "LMNSIMOptions",
    "LMNTwoTowerOptions",
    "EventQueryOptions",
    "LargeMemoryOptions",
    "MIMNOptions",
    "MSNOptions",
    "MemoryPluginOptions",
    "Option",
    "Options",
    "PoolingOptions",
    "ProductKeyMemoryOptions",
    "RankMixerOptions",
    "RatesOptions",
    "SASRecOptions",
    "SIMOptions",
    "SVDOptions",
    "SparseMemoryOptions",
    "SparseMoEOptions",
    "TwoTowerOptions",
    "UBR4CTROptions",
    "UserAwarePoolingOptions",
    "UserAwareQueryOptions",
    "option",
]
