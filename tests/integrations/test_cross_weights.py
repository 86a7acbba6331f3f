"""Weights of TensorFlow Recommenders' `Cross` in keras-rs."""

import numpy as np
import pytest
from keras_rs.layers import FeatureCross

from lmn_tf.integrations import copy_cross


class Cross:
    """What is read of a `tfrs.layers.dcn.Cross`: its weights, the kernels before the bias."""

    def __init__(self, *shapes):
        random = np.random.default_rng(0)
        self.weights = [random.normal(size=shape).astype("float32") for shape in shapes]

    def get_weights(self):
        return self.weights


@pytest.mark.parametrize("projection", [None, 2])
def test_outputs_are_those_of_the_formula(projection):
    cross = Cross((4, 4), (4,)) if projection is None else Cross((4, 2), (2, 4), (4,))
    layer = FeatureCross(projection_dim=projection)
    layer(np.ones((2, 4), "float32"))
    copy_cross(cross, layer)
    x0, x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    *kernels, bias = cross.weights
    inner = x
    for kernel in kernels:
        inner = inner @ kernel
    np.testing.assert_allclose(layer(x0, x), x0 * (inner + bias) + x, rtol=1e-5, atol=1e-6)


def test_other_shapes_are_refused():
    layer = FeatureCross()
    layer(np.ones((2, 4), "float32"))
    message = r"have weights of the same shapes. Received: \[\(3, 3\), \(3,\)\] and \[\(4, 4\)"
    with pytest.raises(ValueError, match=message):
        copy_cross(Cross((3, 3), (3,)), layer)
    with pytest.raises(ValueError, match="must have been called"):
        copy_cross(FeatureCross(), FeatureCross())
