import keras
import numpy as np
import pytest

from lmn_tf.models.terms.logit_calibration import LogitCalibration


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


def test_with_slopes_weights_depend_on_a_number_of_the_row(run_mode):
    layer = LogitCalibration(num_terms=3, num_labels=2, slopes=True)
    layer.build()
    rng = np.random.default_rng(0)
    terms, x = (rng.normal(size=shape).astype("float32") for shape in ((5, 3, 2), (5, 2)))
    np.testing.assert_array_equal(layer(terms, x), terms[:, 0])
    weights, offset, slopes = rng.normal(size=(3, 2)), rng.normal(size=2), rng.normal(size=(3, 2))
    layer.set_weights([weights, offset, slopes])
    want = [
        [
            sum((weights[t, n] + slopes[t, n] * x[row, n]) * terms[row, t, n] for t in range(3))
            for n in range(2)
        ]
        for row in range(5)
    ]
    got = run_mode(lambda inputs: layer(*inputs))((terms, x))
    np.testing.assert_allclose(got, np.array(want) + offset, rtol=1e-5, atol=1e-5)
    assert not layer.trainable_weights
    with pytest.raises(ValueError, match="`x` must be given with `slopes`. Received: x=None"):
        layer(terms)


def test_is_a_layer_like_others():
    layer = LogitCalibration(2, 1, slopes=True, name="one")
    twin = LogitCalibration.from_config(layer.get_config())
    assert (twin.num_terms, twin.num_labels, twin.slopes, twin.name) == (2, 1, True, "one")
    half = LogitCalibration(2, 1, dtype="mixed_float16")(np.ones((1, 2, 1), "float16"))
    assert keras.backend.standardize_dtype(half.dtype) == "float32"


@pytest.mark.parametrize("name", ["num_terms", "num_labels"])
def test_sizes_are_positive(name):
    with pytest.raises(ValueError, match=f"`{name}` must be a positive integer.*{name}=0"):
        LogitCalibration(**{"num_terms": 1, "num_labels": 1, name: 0})
