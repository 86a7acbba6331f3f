import keras
import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import MLP


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("activation", ["relu", "prelu", "dice"])
def test_is_a_good_layer(activation):
    arguments = {"hidden_units": (6, 4), "activation": activation, "batch_norm": True}
    check_layer(MLP, {**arguments, "output_units": 2}, {"inputs": example(5, 3)})


@pytest.mark.slow
def test_is_a_good_layer_on_sequences():
    check_layer(MLP, {"hidden_units": (6,), "activation": "prelu"}, {"inputs": example(5, 4, 3)})


def test_is_a_chain_of_dense_layers(run_mode):
    layer = MLP((4,), output_units=2)
    x = example(5, 3)
    output = run_mode(layer)(x)
    first, first_bias, last, last_bias = layer.get_weights()
    want = np.maximum(x @ first + first_bias, 0) @ last + last_bias
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-6)


def test_masked_statistics():
    x, mask = example(2, 3, 4), np.array([[True, True, False], [True, False, False]])
    layer = MLP((5,), activation="dice", batch_norm=True)
    layer.build(x.shape)
    dirty = np.where(mask[..., None], x, np.float32(99.0))
    outputs = [layer(value, mask=mask, training=True).numpy()[mask] for value in (x, dirty)]
    np.testing.assert_allclose(*outputs, rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_dropout_keeps_the_precision(policy):
    layer = MLP((8,), dropout=0.1, dtype=policy)
    for training in (False, True):
        assert layer(example(4, 5), training=training).dtype == layer.compute_dtype


def test_dropout_only_in_training():
    layer, x = MLP((64,), dropout=0.5), example(8, 5)
    np.testing.assert_array_equal(layer(x), layer(x))
    assert (layer(x, training=True).numpy() == 0).mean() > (layer(x).numpy() == 0).mean()


def test_layers_do_not_share_initial_numbers():
    layer = MLP((4, 4), kernel_initializer=keras.initializers.GlorotUniform(seed=1))
    layer.build((None, 4))
    assert layer.count_params() == 40


def test_bad_arguments():
    with pytest.raises(ValueError, match="`hidden_units` must not be empty when"):
        MLP(())
    with pytest.raises(ValueError, match="`output_units` must be a positive integer"):
        MLP(output_units=0)
    with pytest.raises(ValueError, match="`dropout` must be at least 0"):
        MLP(dropout=1.0)
