import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import BehaviorSearch

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 5)}
SMALL = {"units": 4, "hidden_units": (7,), "output_units": 2}


def test_is_a_good_layer():
    check_layer(BehaviorSearch, SMALL, INPUTS, MASK)


def test_equals_the_literal_form(run_mode):
    layer = BehaviorSearch(**SMALL)
    layer.build((None, 6, 3), (None, 5))
    search = run_mode(lambda h, t: layer(h, t, mask=MASK, return_scores=True))
    logits, scores = search(*INPUTS.values())
    events, candidate, *others = (weight.numpy() for weight in layer.weights)
    history, target = INPUTS.values()
    want = np.einsum("ble,be->bl", history @ events, target @ candidate) * MASK
    np.testing.assert_allclose(scores, want, atol=1e-5)
    x = np.concatenate([np.einsum("bl,bld->bd", want, history), target], axis=-1)
    x = np.maximum(x @ others[0] + others[1], 0) @ others[2] + others[3]
    np.testing.assert_allclose(logits, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer(history, target, mask=MASK), layer(*INPUTS.values(), MASK))


def test_scores_have_no_gradient_and_full_precision():
    layer = BehaviorSearch(**SMALL, dtype="mixed_float16")
    with tf.GradientTape() as tape:
        logits, scores = layer(*INPUTS.values(), mask=MASK, return_scores=True)
    assert (logits.dtype, scores.dtype) == (tf.float16, tf.float32)
    gradients = tape.gradient(scores, layer.trainable_weights)
    assert all(gradient is None for gradient in gradients)


def test_the_projections_learn_from_the_logits():
    layer = BehaviorSearch(**SMALL)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(*INPUTS.values(), mask=MASK) ** 2)
    for gradient in tape.gradient(loss, layer.trainable_weights):
        assert np.abs(gradient).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units=0"):
        BehaviorSearch(0)
    with pytest.raises(ValueError, match="`output_units` must be a positive integer"):
        BehaviorSearch(output_units=0)
