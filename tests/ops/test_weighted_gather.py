import importlib
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.ops import plain_kernels, weighted_gather

module = importlib.import_module("lmn_tf.ops.weighted_gather")


def brute_force(values, slots, weights):
    out = np.zeros((*slots.shape[:-1], values.shape[1]))
    for place in np.ndindex(slots.shape):
        out[place[:-1]] += weights[place] * values[slots[place]]
    return out


def example(shape=(3, 2, 4)):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 5)).astype("float32")
    return values, rng.integers(0, 6, shape), rng.normal(size=shape).astype("float32")


@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 2, 4), (0, 4)])
def test_agrees_with_a_loop(run_mode, shape):
    values, slots, weights = example(shape)
    out = run_mode(weighted_gather)(values, slots, weights)
    np.testing.assert_allclose(out, brute_force(values, slots, weights), rtol=1e-5, atol=1e-6)


@settings(max_examples=8)
@given(
    st.booleans(), st.integers(1, 8), st.integers(0, 40), st.integers(1, 9), st.integers(0, 10_000)
)
def test_any_number_of_queries_a_few_at_a_time(for_training, rows, queries, hits, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 5)).astype("float32")
    slots = rng.integers(0, rows, (queries, hits))
    weights = rng.normal(size=(queries, hits)).astype("float32")
    upstream = rng.normal(size=(queries, 5)).astype("float32")
    table = tf.Variable(values)

    @tf.function
    def run(weights):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            out = weighted_gather(table, slots, weights, for_training)
        return out, *tape.gradient(out, [table, weights], upstream)

    with mock.patch.object(module, "_CHUNK_ELEMENTS", 100):
        out, gradient, of_weights = run(tf.constant(weights))
    np.testing.assert_allclose(out, brute_force(values, slots, weights), rtol=1e-4, atol=1e-5)
    want = np.zeros_like(values)
    np.add.at(want, slots, weights[..., None] * upstream[:, None])
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), want, rtol=1e-4, atol=1e-5)
    want = np.einsum("nkd,nd->nk", values[slots], upstream)
    np.testing.assert_allclose(of_weights, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["tensor", "variable", "keras"])
def test_gradients_agree_with_a_loop(run_mode, kind):
    values, slots, weights = example()
    upstream = np.random.default_rng(1).normal(size=(3, 2, 5)).astype("float32")
    table = {"tensor": tf.constant, "variable": tf.Variable, "keras": keras.Variable}[kind](values)
    watched = table.value if kind == "keras" else table

    def gradients(w):
        with tf.GradientTape() as tape:
            tape.watch([watched, w])
            loss = tf.reduce_sum(weighted_gather(table, slots, w) * upstream)
        got, dw = tape.gradient(loss, [watched, w])
        assert isinstance(got, tf.IndexedSlices)
        return tf.convert_to_tensor(got), dw

    got, dw = run_mode(gradients)(tf.constant(weights))
    want = np.zeros_like(values)
    want_weights = np.zeros_like(weights)
    for place in np.ndindex(slots.shape):
        want[slots[place]] += weights[place] * upstream[place[:-1]]
        want_weights[place] = values[slots[place]] @ upstream[place[:-1]]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dw, want_weights, rtol=1e-5, atol=1e-5)


def test_only_rows_that_were_read_have_a_gradient():
    values, slots, weights = example((2, 3))
    table = tf.Variable(values)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weighted_gather(table, slots, weights))
    assert set(tape.gradient(loss, table).indices.numpy()) <= set(slots.ravel())


def test_result_has_the_dtype_of_the_table():
    out = weighted_gather(tf.zeros([3, 2], "float16"), [[0, 1]], tf.zeros([1, 2], "float32"))
    assert out.dtype == "float16"


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"must have the same shape. Received: slots.shape=\(1, 2"):
        weighted_gather(tf.zeros([3, 2]), [[0, 1]], [[1.0]])


def test_the_slices_of_the_gradient_are_distinct():
    values, slots, weights = example()
    table = tf.Variable(values)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(weighted_gather(table, slots, weights))
    indices = tape.gradient(loss, table).indices.numpy()
    assert len(set(indices)) == len(indices) == len(set(slots.ravel()))


def test_plain_kernels_agree():
    values, slots, weights = example()
    with plain_kernels():
        out = tf.function(weighted_gather)(values, slots, weights)
    np.testing.assert_allclose(out, weighted_gather(values, slots, weights), rtol=1e-5, atol=1e-6)
