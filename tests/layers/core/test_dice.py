import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import Dice

X = np.float32([[-1.0], [0.0], [1.0], [4.0]])


def test_is_a_good_layer():
    x = np.random.default_rng(0).normal(size=(3, 4, 5))
    check_layer(Dice, {"alpha_initializer": "ones"}, {"inputs": x})


@pytest.mark.parametrize(
    ("alpha", "want"),
    [
        (0.0, [-0.255585, 0.0, 0.5, 3.330066]),
        (0.25, [-0.441689, 0.0, 0.625, 3.497549]),
    ],
)
def test_oracle(run_mode, alpha, want):
    layer = Dice()
    layer.build((None, 1))
    layer.alpha.assign([alpha])
    output = run_mode(lambda x: layer(x, training=True))(X)
    np.testing.assert_allclose(output[:, 0], want, atol=1e-6)


def test_statistics_skip_padding():
    padded = np.concatenate([X, [[1e6]]])
    output = Dice()(padded, mask=np.array([True] * 4 + [False]), training=True)
    np.testing.assert_allclose(output[:4], Dice()(X, training=True), rtol=1e-6)


def test_a_score_does_not_depend_on_its_neighbors_at_inference():
    layer = Dice()
    layer(X, training=True)
    np.testing.assert_allclose(layer(X)[:2], layer(X[:2]), rtol=1e-6)


def training_step(x, mask, alpha):
    """Output, gradients and moving averages of one step."""
    layer = Dice()
    layer.build((None, x.shape[-1]))
    layer.alpha.assign(alpha)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        output = layer(inputs, mask=mask, training=True)
        loss = tf.reduce_sum(output**2 * tf.range(1.0, x.shape[-1] + 1.0))
    gradients = tape.gradient(loss, [inputs, layer.alpha.value])
    return [output, *gradients, *layer.normalization.get_weights()]


@pytest.mark.parametrize("rows", [0, 1, 2, 57])
def test_rows_alone_are_as_rows_with_a_mask(rows):
    # Without a mask, a training step on the CPU has kernels and a gradient of its own.
    x = np.random.default_rng(0).normal(1.0, 3.0, size=(rows, 6)).astype("float32")
    alpha = np.linspace(-0.3, 0.6, 6, dtype="float32")
    alone = training_step(x, None, alpha)
    masked = training_step(x, np.ones(rows, bool), alpha)
    for found, want in zip(alone, masked, strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-5)


def test_gradient_agrees_with_finite_differences():
    layer = Dice(alpha_initializer=keras.initializers.Constant(0.25))
    x = np.random.default_rng(1).normal(size=(5, 3)).astype("float32")
    layer(x)
    check_gradient(lambda x: layer(x, training=True), [x], atol=5e-3)
