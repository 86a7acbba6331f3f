"""Pure functions on tensors without variables or state, compilable by XLA.

Imported at once, not on first use: functions share their names with their
files, and a file imported later would replace the function of that name.
"""

from lmn_tf.ops.compile import is_compiling_with_xla, plain_kernels
from lmn_tf.ops.in_batch_softmax import in_batch_softmax
from lmn_tf.ops.losses import smooth_l1
from lmn_tf.ops.rows.distinct_ids import distinct_ids, merge_duplicates
from lmn_tf.ops.rows.weighted_gather import weighted_gather
from lmn_tf.ops.search.key_balance import key_balance
from lmn_tf.ops.search.product_key_search import product_key_search
from lmn_tf.ops.search.product_key_top_k import product_key_top_k
from lmn_tf.ops.sequence.masked import (
    masked_mean,
    masked_moments,
    masked_softmax,
    masked_sqrtn,
    masked_sum,
    zero_padding,
)
from lmn_tf.ops.sequence.shared_window import SharedWindow
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.ops.sequence.windows import Windows

__all__ = [
    "SharedWindow",
    "ValidPositions",
    "Windows",
    "distinct_ids",
    "in_batch_softmax",
    "is_compiling_with_xla",
    "key_balance",
    "masked_mean",
    "masked_moments",
    "masked_softmax",
    "masked_sqrtn",
    "masked_sum",
    "merge_duplicates",
    "plain_kernels",
    "product_key_search",
    "product_key_top_k",
    "smooth_l1",
    "weighted_gather",
    "zero_padding",
]
