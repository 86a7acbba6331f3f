import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers import FeatureInteraction

RNG = np.random.default_rng(0)
GROUPS = [RNG.normal(size=(4, width)).astype("float32") for width in (5, 3, 2)]
VECTOR = np.concatenate(GROUPS, axis=1)


@pytest.mark.parametrize("kind", ["cross", "dot", "product"])
def test_is_a_layer_like_any(kind, run_mode):
    layer = FeatureInteraction(kind, num_layers=2, projection_dim=4)
    want = layer(GROUPS).numpy()
    assert want.shape == layer.compute_output_shape([(4, 5), (4, 3), (4, 2)])
    np.testing.assert_allclose(run_mode(lambda: layer(GROUPS))(), want, rtol=1e-5, atol=1e-6)
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    twin(GROUPS)
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(twin(GROUPS), want, rtol=1e-6)
    half = FeatureInteraction(kind, projection_dim=4, dtype="mixed_float16")
    assert half([tf.cast(one, "float16") for one in GROUPS]).dtype == "float16"


@pytest.mark.parametrize("kind", ["cross", "dot", "product"])
def test_is_built_by_shapes(kind):
    weights = []
    for _ in range(2):
        keras.utils.clear_session(free_memory=False)  # the same names
        layer = FeatureInteraction(kind, projection_dim=4)
        if not weights:
            layer.build([(None, 5), (None, 3), (None, 2)])
        else:
            layer(GROUPS)
        weights.append([(weight.path, weight.shape) for weight in layer.weights])
    assert len(weights[0]) >= 4
    assert weights[0] == weights[1]


def test_cross_layers_multiply_by_what_came_in():
    layer = FeatureInteraction("cross", num_layers=2)
    got = layer(GROUPS)
    x = VECTOR
    for cross in layer.crosses:
        kernel, bias = cross.get_weights()
        x = VECTOR * (x @ kernel + bias) + x
    np.testing.assert_allclose(got, x, rtol=1e-4, atol=1e-5)


def test_dots_are_of_all_pairs_of_groups():
    layer = FeatureInteraction("dot", projection_dim=4)
    got = layer(GROUPS).numpy()
    kernels = [dense.get_weights() for dense in layer.projections]
    tokens = [one @ kernel + bias for one, (kernel, bias) in zip(GROUPS, kernels, strict=True)]
    pairs = [(tokens[i] * tokens[j]).sum(1) for i, j in ((1, 0), (2, 0), (2, 1))]
    np.testing.assert_allclose(got[:, :10], VECTOR, rtol=1e-6)
    np.testing.assert_allclose(got[:, 10:], np.stack(pairs, 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("candidate", [0, 1, 2])
def test_products_are_of_the_candidate_with_every_other_group(candidate):
    layer = FeatureInteraction("product", projection_dim=4, candidate=candidate)
    got = layer(GROUPS).numpy()
    np.testing.assert_allclose(got[:, :10], VECTOR, rtol=1e-6)
    kernels = [dense.get_weights() for dense in layer.projections]
    for row in range(4):  # one number at a time
        vectors = [
            [sum(x * w for x, w in zip(group[row], column, strict=True)) for column in kernel.T]
            for group, (kernel, _) in zip(GROUPS, kernels, strict=True)
        ]
        others = [index for index in range(3) if index != candidate]
        products = [[vectors[candidate][i] * vectors[j][i] for i in range(4)] for j in others]
        want = [*products[0], *products[1], sum(products[0]), sum(products[1])]
        np.testing.assert_allclose(got[row, 10:], want, rtol=1e-4, atol=1e-5)


def test_a_history_without_events_has_products_of_0():
    groups = [GROUPS[0], np.zeros((4, 3), "float32")]
    got = FeatureInteraction("product", projection_dim=4)(groups).numpy()
    np.testing.assert_array_equal(got[:, 8:], 0)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="`kind` must be .*Received: kind='outer'"):
        FeatureInteraction("outer")
    with pytest.raises(ValueError, match="`num_layers` must be .*Received: num_layers=0"):
        FeatureInteraction(num_layers=0)
    with pytest.raises(ValueError, match="`projection_dim` must be .*Received: projection_dim=0"):
        FeatureInteraction(projection_dim=0)
    with pytest.raises(ValueError, match="two groups or more for `kind='dot'`. Received: 1 group"):
        FeatureInteraction("dot")(GROUPS[:1])
    with pytest.raises(ValueError, match="groups or more for `kind='product'`. Received: 1 group"):
        FeatureInteraction("product")(GROUPS[:1])
    with pytest.raises(ValueError, match="`candidate` must be .*Received: candidate=3, of 3 gr"):
        FeatureInteraction("product", candidate=3)(GROUPS)
