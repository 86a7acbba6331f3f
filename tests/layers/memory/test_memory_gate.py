import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import MemoryGate


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


X, R = example(3, 4, 6), example(3, 4, 5, seed=1)


@pytest.mark.parametrize("gate", ["swiglu", "scalar"])
def test_is_a_good_layer(gate):
    check_layer(MemoryGate, {"gate": gate}, {"inputs": X, "read_out": R})


@pytest.mark.parametrize("gate", ["swiglu", "sigmoid", "residual", "scalar"])
def test_openness_is_told_within_a_block_only(gate):
    layer, told = MemoryGate(gate), []
    layer(X, R)
    with layer.watched(told.append):
        output = layer(X, R)
    layer(X, R)
    if gate == "residual":
        assert told == []
        return
    [openness] = told
    if gate == "sigmoid":
        np.testing.assert_allclose(output, X * openness, rtol=1e-5)
    else:
        wanted = sigmoid(np.asarray(layer.gate_projection(X)))
        np.testing.assert_allclose(openness, wanted, rtol=1e-5)


@pytest.mark.parametrize("gate", ["swiglu", "sigmoid", "residual", "scalar"])
def test_each_gate_is_its_formula(run_mode, gate):
    layer = MemoryGate(gate)
    output = run_mode(layer)(X, R)
    weights = {weight.path.split("/", 1)[1]: weight.numpy() for weight in layer.weights}
    read = R @ weights["output_projection/kernel"]
    if gate == "swiglu":
        g = X @ weights["gate_projection/kernel"] + weights["gate_projection/bias"]
        want = (R * g * sigmoid(g)) @ weights["output_projection/kernel"]
        want += weights["output_projection/bias"]
    elif gate == "sigmoid":
        want = X * sigmoid(read)
    elif gate == "scalar":
        want = sigmoid(X @ weights["gate_projection/kernel"]) * read
        assert weights["gate_projection/kernel"].shape == (6, 1)
    else:
        want = read
    assert len(weights) == {"swiglu": 4, "sigmoid": 1, "residual": 1, "scalar": 2}[gate]
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gate", ["swiglu", "sigmoid", "residual", "scalar"])
def test_one_read_out_may_serve_all_tokens(gate):
    layer = MemoryGate(gate)
    output = layer(X, R[:, :1])
    assert output.shape == layer.compute_output_shape(X.shape, R[:, :1].shape) == X.shape
    np.testing.assert_allclose(output, layer(X, np.repeat(R[:, :1], 4, 1)), rtol=1e-5, atol=1e-6)


def test_rank_2():
    assert MemoryGate()(X[:, 0], R[:, 0]).shape == (3, 6)


@pytest.mark.parametrize("gate", ["swiglu", "residual", "scalar"])
def test_output_may_start_as_zero_and_learns(gate):
    layer = MemoryGate(gate, zero_output=True)
    with tf.GradientTape() as tape:
        output = layer(X, R)
        loss = tf.reduce_sum(output + output**2)
    np.testing.assert_array_equal(output, np.zeros_like(X))
    gradient = tape.gradient(loss, layer.output_projection.kernel.value)
    assert np.abs(gradient).max() > 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="`gate` must be one of .* Did you mean `sigmoid`"):
        MemoryGate("sigmod")
    with pytest.raises(ValueError, match="`zero_output` must be False with `gate='sigmoid'`"):
        MemoryGate("sigmoid", zero_output=True)
