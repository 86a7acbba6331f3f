import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import TokenMixing


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_is_a_good_layer():
    check_layer(TokenMixing, {}, {"inputs": example(5, 3, 6)}, fixed_length=True)


def test_oracle(run_mode):
    x = np.float32([[[0, 1, 2, 3], [4, 5, 6, 7]]])
    np.testing.assert_array_equal(run_mode(TokenMixing())(x), [[[0, 1, 4, 5], [2, 3, 6, 7]]])


def test_token_h_holds_head_h_of_all_tokens():
    x = example(2, 3, 6)
    mixed = TokenMixing()(x).numpy()
    for head in range(3):
        want = np.concatenate([x[:, token, 2 * head : 2 * head + 2] for token in range(3)], axis=1)
        np.testing.assert_array_equal(mixed[:, head], want)


@pytest.mark.parametrize("tokens", [1, 2, 4])
def test_twice_is_the_identity_and_there_are_no_weights(tokens):
    layer, x = TokenMixing(), example(2, tokens, 8)
    np.testing.assert_array_equal(layer(layer(x)), x)
    assert layer.weights == []


def test_tokens_must_divide_their_width():
    with pytest.raises(ValueError, match="must be known and divide .* tokens=3, width=8"):
        TokenMixing()(example(2, 3, 8))
    with pytest.raises(ValueError, match="must be known and divide .* tokens=None, width=8"):
        TokenMixing().build((None, None, 8))
