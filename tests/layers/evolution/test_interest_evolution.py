import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import InterestEvolution
from lmn_tf.ops import Windows

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 3, seed=1)}


@pytest.mark.slow
def test_is_a_good_layer():
    arguments = {"attention": "mlp", "attention_units": (4,), "auxiliary_units": (5,)}
    check_layer(InterestEvolution, arguments, INPUTS, MASK, zero_when_empty=True)


@pytest.mark.parametrize("attention", ["bilinear", "mlp"])
def test_is_made_of_its_parts(attention):
    layer = InterestEvolution(attention=attention)
    output = layer(**INPUTS, mask=MASK)
    plain = keras.layers.GRU(3, return_sequences=True)
    plain.build((None, None, 3))
    plain.set_weights(layer.extractor.get_weights())
    interests = plain(INPUTS["history"], mask=tf.constant(MASK))
    weights = layer.attention_layer.attention_weights(interests, INPUTS["target"], mask=MASK)
    np.testing.assert_allclose(np.sum(weights, axis=1), [0, 1, 1, 1], rtol=1e-6)
    want = layer.evolution(interests, weights=weights, mask=MASK)
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-6)


def test_adds_its_loss_in_training_only():
    layer = InterestEvolution(auxiliary_weight=0.5, auxiliary_units=())
    before = layer(**INPUTS, mask=MASK)
    assert layer.losses == []
    np.testing.assert_array_equal(layer(**INPUTS, mask=MASK, training=True), before)
    assert len(layer.losses) == 1
    np.testing.assert_allclose(layer.losses[0], 0.5 * layer.metrics[0].result(), rtol=1e-6)
    silent = InterestEvolution(auxiliary_weight=0.0)
    silent(**INPUTS, mask=MASK, training=True)
    assert silent.losses == [] and silent.metrics == []


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_loss_of_shared_windows_in_mixed_precision(policy):
    windows = Windows([0, 0, 0, 4], [1, 3, 4, 2], num_events=6)
    arguments = {"windows": windows, "training": True}
    losses, weights = [], None
    for dtype in ("float32", policy):
        layer = InterestEvolution(auxiliary_units=(4,), dtype=dtype)
        layer(INPUTS["history"][3], INPUTS["target"], windows=windows)
        weights = weights or layer.get_weights()
        layer.set_weights(weights)
        layer.auxiliary_loss.seed_generator.state.assign([1, 2])
        layer(INPUTS["history"][3], INPUTS["target"], **arguments)
        losses += layer.losses
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


def test_gradient_agrees_with_finite_differences():
    layer = InterestEvolution(auxiliary_weight=0.0)
    history, target, mask = INPUTS["history"][1:3, :3], INPUTS["target"][1:3], MASK[1:3, :3]
    layer(history, target)
    check_gradient(lambda h, t: layer(h, t, mask=mask), [history, target], atol=2e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`attention` must be one of 'bilinear', 'mlp'"):
        InterestEvolution(attention="linear")
    with pytest.raises(ValueError, match="`variant` must be one of 'augru', 'released'"):
        InterestEvolution(variant="gru")
    with pytest.raises(ValueError, match="`auxiliary_weight` must be zero or more. Received"):
        InterestEvolution(auxiliary_weight=np.nan)
