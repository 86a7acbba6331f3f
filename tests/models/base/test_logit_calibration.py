import keras
import numpy as np
import pytest

from lmn_tf.models.base.logit_calibration import LogitCalibration


def test_weights_terms_and_adds_an_offset(run_mode):
    layer = LogitCalibration(num_terms=3, num_labels=2)
    layer.build()
    terms = np.random.default_rng(0).normal(size=(5, 3, 2)).astype("float32")
    np.testing.assert_array_equal(layer(terms), terms[:, 0])
    weights, offset = np.arange(6.0).reshape(3, 2), np.array([1.0, -1.0])
    layer.set_weights([weights, offset])
    want = np.einsum("btl,tl->bl", terms, weights) + offset
    np.testing.assert_allclose(run_mode(lambda x: layer(x))(terms), want, rtol=1e-5, atol=1e-6)
    assert not layer.trainable_weights


def test_is_a_layer_like_others():
    twin = LogitCalibration.from_config(LogitCalibration(2, 1, name="one").get_config())
    assert (twin.num_terms, twin.num_labels, twin.name) == (2, 1, "one")
    half = LogitCalibration(2, 1, dtype="mixed_float16")(np.ones((1, 2, 1), "float16"))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"


@pytest.mark.parametrize("name", ["num_terms", "num_labels"])
def test_sizes_are_positive(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer.*{name}=0"):
        LogitCalibration(**{"num_terms": 1, "num_labels": 1, name: 0})
