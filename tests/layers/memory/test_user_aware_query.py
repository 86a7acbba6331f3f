import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import UserAwareQuery

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("merge", ["concat", "add"])
def test_is_a_good_layer(merge):
    inputs = {"inputs": example(4, 6, 3), "user": example(4, 3)}
    arguments = {"hidden_units": (5, 4), "merge": merge}
    check_layer(UserAwareQuery, arguments, inputs, MASK, zero_when_empty=True)


@pytest.mark.slow
def test_is_a_good_layer_without_a_user():
    check_layer(UserAwareQuery, {}, {"inputs": example(4, 6, 3)}, MASK, zero_when_empty=True)


@pytest.mark.parametrize("merge", ["concat", "add"])
def test_is_an_mlp_of_the_merged_vector(run_mode, merge):
    x, u = example(4, 6, 3), example(4, 3)
    layer = UserAwareQuery(merge=merge)
    output = run_mode(lambda x, u: layer(x, u, mask=MASK))(x, u)
    kernel, bias, last, last_bias = layer.get_weights()
    wide = np.broadcast_to(u[:, None], x.shape)
    merged = np.concatenate([x, wide], -1) if merge == "concat" else x + wide
    want = np.maximum(merged @ kernel + bias, 0) @ last + last_bias
    assert kernel.shape == (merged.shape[-1], 6)  # one hidden layer of 2 * d
    np.testing.assert_allclose(output, np.where(MASK[..., None], want, 0), rtol=1e-4, atol=1e-5)


def test_no_hidden_layer_is_one_linear_map():
    layer = UserAwareQuery(hidden_units=())
    output = layer(example(2, 3, 4))
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(output, example(2, 3, 4) @ kernel + bias, rtol=1e-5, atol=1e-6)


def test_users_of_the_same_history_differ():
    x = np.repeat(example(1, 3, 4), 2, axis=0)
    layer = UserAwareQuery()
    one, two = layer(x, np.float32([[1.0, 0.0], [0.0, 1.0]])).numpy()
    assert (one != two).any()
    one, two = layer(x, np.zeros((2, 2), "float32")).numpy()
    np.testing.assert_array_equal(one, two)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`merge` must be one of 'concat', 'add'. Received"):
        UserAwareQuery(merge="product")
    with pytest.raises(ValueError, match="of the same width. Received: behavior width=4"):
        UserAwareQuery(merge="add")(example(1, 3, 4), example(1, 2))
    with pytest.raises(ValueError, match="`hidden_units` must be a tuple of integers"):
        UserAwareQuery(hidden_units="8")
