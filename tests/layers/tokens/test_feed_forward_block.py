import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import FeedForwardBlock, SparseMemory

X = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")


def memory(**options):
    return SparseMemory(**{"num_keys": 3, "top_k": 9, "key_dim": 4, **options})


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


@pytest.mark.slow
def test_is_a_good_layer():
    arguments = {"feed_forward": keras.layers.Dense(6), "memory": memory()}
    check_layer(FeedForwardBlock, arguments, {"inputs": X})


@pytest.mark.parametrize("has_memory", [False, True])
@pytest.mark.parametrize("has_feed_forward", [False, True])
def test_normalizes_the_sum_of_its_parts(has_feed_forward, has_memory):
    if not (has_feed_forward or has_memory):
        return
    parts = {
        "feed_forward": keras.layers.Dense(6) if has_feed_forward else None,
        "memory": memory() if has_memory else None,
    }
    output = FeedForwardBlock(**parts)(X)
    total = X + sum(part(X).numpy() for part in parts.values() if part is not None)
    np.testing.assert_allclose(output, layer_norm(total), rtol=1e-4, atol=1e-5)


def test_a_memory_whose_output_is_zero_changes_no_bit():
    with_memory = FeedForwardBlock(keras.layers.Dense(6), memory(zero_output=True))
    without = FeedForwardBlock(keras.layers.Dense(6))
    with_memory(X), without(X)
    without.feed_forward.set_weights(with_memory.feed_forward.get_weights())
    for mode in (lambda f: f, tf.function):
        np.testing.assert_array_equal(mode(with_memory)(X), mode(without)(X))


def test_hands_the_user_to_the_memory_and_training_to_all():
    class Doubled(keras.layers.Layer):
        def call(self, inputs, training=None):
            return 2 * inputs if training else inputs

    block = FeedForwardBlock(Doubled(), memory(query_source="user_aware", zero_output=True))
    outputs = [block(X + 0.1 * X**2, user=X[:, :2], training=flag) for flag in (True, False)]
    np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-5)  # LN(3x) = LN(2x)
    assert block.memory.row_query.kernel.shape == (8, 4)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`feed_forward` or `memory` must be given"):
        FeedForwardBlock()
    with pytest.raises(ValueError, match="`memory` must be a SparseMemory"):
        FeedForwardBlock(memory=keras.layers.Dense(6))
