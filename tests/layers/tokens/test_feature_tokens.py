import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import FeatureTokens


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_is_a_good_layer():
    check_layer(FeatureTokens, {"num_tokens": 3, "token_dim": 4}, {"inputs": example(5, 7)})


def test_each_token_sees_its_slice(run_mode):
    layer, x = FeatureTokens(num_tokens=3, token_dim=4), example(5, 7)
    layer.build((None, 7))
    layer.bias.assign(example(3, 4))
    tokens = run_mode(layer)(x).numpy()
    kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
    assert kernel.shape == (3, 3, 4)
    for t, columns in enumerate(([0, 1, 2], [3, 4, 5], [6])):
        want = x[:, columns] @ kernel[t, : len(columns)] + bias[t]
        np.testing.assert_allclose(tokens[:, t], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["num_tokens", "token_dim"])
def test_bad_arguments(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer. Received"):
        FeatureTokens(**{name: 0})
