import numpy as np
import pytest
from check_layer import check_layer

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


def test_a_score_does_not_depend_on_its_neighbours_at_inference():
    layer = Dice()
    layer(X, training=True)
    np.testing.assert_allclose(layer(X)[:2], layer(X[:2]), rtol=1e-6)
