"""Weights of TensorFlow Recommenders' `Cross` in keras-rs."""

import keras
import numpy as np
import pytest
from keras_rs.layers import FeatureCross

from lmn_tf.integrations import copy_cross


class Cross:
    """What is read of a `tfrs.layers.dcn.Cross`: its weights, the kernels before the bias."""

    def __init__(self, *shapes, diag_scale=0.0, preactivation="linear"):
        random = np.random.default_rng(0)
        self.weights = [random.normal(size=shape).astype("float32") for shape in shapes]
        self.config = {"diag_scale": diag_scale, "preactivation": preactivation}

    def get_weights(self):
        return self.weights

    def get_config(self):
        return self.config


def called(**arguments):
    layer = FeatureCross(**arguments)
    layer(np.ones((2, 4), "float32"))
    return layer


def kept(inputs):
    """An activation of a user's own."""
    return inputs


def relu_of_keras_2(**config):
    """How tf-keras writes a `ReLU` layer."""
    config = {"name": "re_lu", "trainable": True, "dtype": "float32", **config}
    return {"module": "keras.layers", "class_name": "ReLU", "config": config}


@pytest.mark.parametrize("projection", [None, 2])
def test_outputs_are_those_of_the_formula(projection):
    cross = Cross((4, 4), (4,)) if projection is None else Cross((4, 2), (2, 4), (4,))
    layer = called(projection_dim=projection)
    copy_cross(cross, layer)
    x0, x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")
    *kernels, bias = cross.weights
    inner = x
    for kernel in kernels:
        inner = inner @ kernel
    np.testing.assert_allclose(layer(x0, x), x0 * (inner + bias) + x, rtol=1e-5, atol=1e-6)


def test_other_shapes_are_refused():
    layer = called()
    message = r"have weights of the same shapes. Received: \[\(3, 3\), \(3,\)\] and \[\(4, 4\)"
    with pytest.raises(ValueError, match=message):
        copy_cross(Cross((3, 3), (3,)), layer)
    with pytest.raises(ValueError, match="must have been called"):
        copy_cross(FeatureCross(), FeatureCross())


RELU = {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}


@pytest.mark.parametrize(
    ("arguments", "own", "message"),
    [
        ({"diag_scale": 0.5}, {}, r"`diag_scale` .* of `cross`, 0.5. Received: diag_scale=0.0"),
        ({}, {"diag_scale": 0.5}, r"`diag_scale` .* of `cross`, 0.0. Received: diag_scale=0.5"),
        ({"preactivation": "relu"}, {}, "must be .*, 'relu'. Received: pre_activation='linear'"),
        ({}, {"pre_activation": "tanh"}, "must be .*, 'linear'. Received: pre_activation='tanh'"),
        (
            {"preactivation": relu_of_keras_2(**{**RELU, "max_value": 6.0})},
            {"pre_activation": keras.layers.ReLU()},
            "`pre_activation` .*'max_value': 6.0.* Received: .*'max_value': None",
        ),
    ],
)
def test_other_settings_are_refused(arguments, own, message):
    layer = called(**own)
    before = layer.get_weights()
    with pytest.raises(ValueError, match=message):
        copy_cross(Cross((4, 4), (4,), **arguments), layer)
    for weight, want in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, want)


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        ({"diag_scale": 0.5}, {"diag_scale": 0.5}),
        ({"diag_scale": 0.0}, {"diag_scale": None}),
        ({"preactivation": "relu"}, {"pre_activation": keras.activations.relu}),
        ({"preactivation": "kept"}, {"pre_activation": kept}),
        ({"preactivation": relu_of_keras_2(**RELU)}, {"pre_activation": keras.layers.ReLU()}),
    ],
)
def test_equal_settings_may_be_written_in_either_form(arguments, own):
    layer, cross = called(**own), Cross((4, 4), (4,), **arguments)
    copy_cross(cross, layer)
    np.testing.assert_array_equal(layer.get_weights()[0], cross.weights[0])
