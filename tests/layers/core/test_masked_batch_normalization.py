import keras
import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import MaskedBatchNormalization

MASK = np.array([[True, True, False], [True, False, False]])


def example():
    return np.random.default_rng(0).normal(2.0, 3.0, size=(2, 3, 4)).astype("float32")


def test_is_a_good_layer():
    check_layer(MaskedBatchNormalization, {"momentum": 0.8}, {"inputs": example()})


def test_without_a_mask_it_is_keras_batch_normalization(run_mode):
    ours = MaskedBatchNormalization(momentum=0.9, epsilon=0.01)
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=0.01)
    for training in (True, False):
        got = run_mode(lambda x, t=training: ours(x, training=t))(example())
        np.testing.assert_allclose(got, theirs(example(), training=training), rtol=1e-4, atol=1e-5)
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-4)


def test_statistics_are_those_of_valid_positions(run_mode):
    x = np.where(MASK[..., None], example(), np.float32(np.nan))
    layer = MaskedBatchNormalization(momentum=0.0, epsilon=1e-9)
    layer.build(x.shape)
    output = run_mode(lambda x: layer(x, mask=MASK, training=True))(x).numpy()
    np.testing.assert_allclose(output[MASK].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(output[MASK].std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, x[MASK].mean(0), rtol=1e-5)


def test_a_batch_of_padding_changes_nothing():
    layer = MaskedBatchNormalization()
    layer(example(), training=True)
    before = layer.get_weights()
    layer(example(), mask=np.zeros_like(MASK), training=True)
    layer(example()[:0], training=True)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_layer_keeps_its_statistics():
    layer = MaskedBatchNormalization()
    layer.trainable = False
    np.testing.assert_allclose(layer(example(), training=True), layer(example()), rtol=1e-6)


def test_without_gain_and_offset_nothing_is_trained():
    layer = MaskedBatchNormalization(center=False, scale=False)
    layer(example())
    assert layer.trainable_weights == []


def test_bad_arguments():
    with pytest.raises(ValueError, match="`epsilon` must be a positive number. Received"):
        MaskedBatchNormalization(epsilon=float("nan"))
    with pytest.raises(ValueError, match="`momentum` must be at least 0 and below 1. Received"):
        MaskedBatchNormalization(momentum=1)
