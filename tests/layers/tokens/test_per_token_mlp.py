import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import PerTokenMLP


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_is_a_good_layer():
    check_layer(PerTokenMLP, {"expansion": 2}, {"inputs": example(5, 3, 4)}, fixed_length=True)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_equals_a_loop_over_tokens(run_mode, activation):
    layer, x = PerTokenMLP(expansion=2, activation=activation), example(5, 3, 4)
    layer.build(x.shape)
    layer.set_weights([example(*weight.shape) for weight in layer.weights])
    output = run_mode(layer)(x).numpy()
    (w1, w2), (b1, b2) = layer.kernels, layer.biases
    assert w1.shape == (3, 4, 8) and w2.shape == (3, 8, 4)
    for t in range(3):
        hidden = keras.activations.get(activation)(x[:, t] @ w1[t] + b1[t])
        np.testing.assert_allclose(output[:, t], hidden @ w2[t] + b2[t], rtol=1e-4, atol=1e-4)


def test_each_token_trains_its_own_weights_only():
    layer, x = PerTokenMLP(), example(5, 3, 4)
    layer(x)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x)[:, 1] ** 2)
    for gradient in tape.gradient(loss, [weight.value for weight in layer.weights]):
        largest = np.abs(tf.convert_to_tensor(gradient)).reshape(3, -1).max(1)
        assert largest[1] > 0 and largest[0] == largest[2] == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="`expansion` must be a positive integer. Received"):
        PerTokenMLP(0)
