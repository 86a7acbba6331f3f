import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import PerTokenMLP, RankMixerBlock, SparseMemory, SparseMixtureOfExperts

X = np.random.default_rng(0).normal(size=(5, 3, 6)).astype("float32")


def memory(**options):
    return SparseMemory(**{"num_keys": 3, "top_k": 9, "key_dim": 4, **options})


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)


def mixed(x):
    return x.reshape(-1, 3, 3, 2).transpose(0, 2, 1, 3).reshape(x.shape)


@pytest.mark.slow
def test_is_a_good_layer():
    arguments = {"feed_forward": PerTokenMLP(2), "memory": memory()}
    check_layer(RankMixerBlock, arguments, {"inputs": X}, fixed_length=True)


def test_is_its_formula(run_mode):
    block = RankMixerBlock(PerTokenMLP(2), memory())
    output = run_mode(block)(X)
    s = layer_norm(mixed(X) + X)
    want = layer_norm(s + block.feed_forward(s).numpy() + block.memory(s).numpy())
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)


def test_zero_feed_forward_normalizes_what_was_mixed():
    block = RankMixerBlock(PerTokenMLP(2))
    block(X)
    block.feed_forward.set_weights([0 * weight for weight in block.feed_forward.get_weights()])
    s = layer_norm(mixed(X) + X)
    np.testing.assert_allclose(block(X), layer_norm(s), rtol=1e-4, atol=1e-5)


def test_norms_are_over_the_width_of_a_token():
    block = RankMixerBlock(PerTokenMLP(2))
    tokens = block(X).numpy()
    np.testing.assert_allclose(tokens.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(tokens.std(-1), 1, rtol=1e-3)
    assert block.mixing_norm.gamma.shape == block.output_norm.gamma.shape == (6,)


def test_memory_instead_of_the_feed_forward_part():
    block = RankMixerBlock(memory=memory())
    s = layer_norm(mixed(X) + X)
    want = layer_norm(s + block.memory(s).numpy())
    np.testing.assert_allclose(block(X), want, rtol=1e-4, atol=1e-5)


def test_zero_output_leaves_the_backbone_bit_identical():
    block = RankMixerBlock(PerTokenMLP(2), memory(zero_output=True))
    plain = RankMixerBlock(PerTokenMLP(2))
    block(X), plain(X)
    plain.feed_forward.set_weights(block.feed_forward.get_weights())
    for mode in (lambda f: f, tf.function):
        np.testing.assert_array_equal(mode(block)(X), mode(plain)(X))


def test_cost_of_parts():
    """Parameters read and multiply-adds of one token: see `SparseMixtureOfExperts`."""
    tokens, width, expansion, experts, active = 3, 8, 4, 6, 2
    dense = PerTokenMLP(expansion)
    sparse = SparseMixtureOfExperts(experts, active, expansion)
    for part in (dense, sparse):
        part.build((None, tokens, width))
    whole = sum(keras.ops.size(weight) for weight in dense.weights)
    read = multiply_adds = 0
    for weight in sparse.trainable_weights:
        count = int(keras.ops.size(weight)) // tokens
        share = active / experts if weight.path.split("/")[-1] in _OF_EXPERTS else 1.0
        read += count * share
        multiply_adds += count * share * (len(weight.shape) == 3)
    router = width * experts
    assert read - router - experts == int(whole) // tokens
    assert multiply_adds - router == 2 * expansion * width**2


_OF_EXPERTS = ("kernel_0", "kernel_1", "bias_0")


def test_tokens_must_divide_their_width():
    with pytest.raises(ValueError, match="must be known and divide .* tokens=3, width=8"):
        RankMixerBlock(PerTokenMLP())(np.ones((2, 3, 8), "float32"))
