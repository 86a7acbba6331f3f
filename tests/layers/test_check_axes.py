import re

import numpy as np
import pytest

from lmn_tf import layers
from lmn_tf.layers.check_axes import TOKENS, check_axes

# layer → its options and its inputs, whose first has an axis too few
HISTORY = {
    "AttentionalGRU": ({"units": 4}, 1),
    "BehaviourRetrieval": ({}, 4),
    "BehaviourSearch": ({}, 2),
    "BilinearAttention": ({}, 2),
    "InterestEvolution": ({}, 2),
    "IterativeMemory": ({}, 2),
    "LargeMemory": ({"num_keys": 4, "top_k": 2}, 1),
    "MultiHeadTargetAttention": ({}, 2),
    "MultiWayAttention": ({}, 3),
    "SelfAttentionBlock": ({}, 1),
    "SelfAttentionSelector": ({}, 1),
    "SelfAttentiveEncoder": ({}, 1),
    "TargetAttention": ({}, 2),
    "UserInterestMemory": ({}, 2),
}
TOKEN_LAYERS = ("PerTokenMLP", "SparseMixtureOfExperts", "TokenMixing")


def test_counts_axes():
    check_axes("history", (None, 3, 4))
    check_axes("inputs", (2, 3, 4), TOKENS)
    with pytest.raises(ValueError, match=re.escape("Received: x.shape=(2, 3, 4, 5)")):
        check_axes("x", (2, 3, 4, 5))


@pytest.mark.parametrize("name", HISTORY)
def test_a_history_without_length_is_refused(name):
    options, inputs = HISTORY[name]
    layer = getattr(layers, name)(**options)
    message = "`history` must have shape (batch, length, d). Received: history.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        layer(*[np.ones((3, 4), "float32")] * inputs)


@pytest.mark.parametrize("name", TOKEN_LAYERS)
def test_tokens_without_a_width_are_refused(name):
    message = "`inputs` must have shape (batch, tokens, D). Received: inputs.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(layers, name)()(np.ones((3, 4), "float32"))


def test_a_position_needs_a_length():
    message = "`inputs` must have shape (batch, length, d). Received: inputs.shape=(3, 4)"
    with pytest.raises(ValueError, match=re.escape(message)):
        layers.PositionEmbedding(4)(np.ones((3, 4), "float32"))
