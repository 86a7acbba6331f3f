import contextlib
import importlib
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.ops import plain_kernels, weighted_gather

module = importlib.import_module("lmn_tf.ops.rows.weighted_gather")


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
        found = run(tf.constant(weights))
    check(found, values, slots, weights, upstream)


def check(found, values, slots, weights, upstream):
    """The sums, and the gradients of the table and of the weights."""
    out, gradient, of_weights = found
    np.testing.assert_allclose(out, brute_force(values, slots, weights), rtol=1e-4, atol=1e-5)
    want = np.zeros_like(values)
    np.add.at(want, slots, weights[..., None] * upstream[:, None])
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), want, rtol=1e-4, atol=1e-5)
    want = np.einsum("nkd,nd->nk", values[slots], upstream)
    np.testing.assert_allclose(of_weights, want, rtol=1e-4, atol=1e-5)


def large_example(rows, queries, hits, width):
    rng = np.random.default_rng(rows)
    values = rng.normal(size=(rows, width)).astype("float32")
    slots = rng.integers(0, rows, (queries, hits)).astype("int32")
    slots[:, 0] = 2  # read by all
    weights = rng.normal(size=(queries, hits)).astype("float32")
    return values, slots, weights, rng.normal(size=(queries, width)).astype("float32")


def step_of(table, signature=None, **options):
    def step(slots, weights, upstream):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            out = weighted_gather(table, slots, weights)
        return out, *tape.gradient(out, [table, weights], upstream)

    return tf.function(step, signature, **options)


@pytest.fixture
def small_chunks(monkeypatch):
    """Few queries at a time."""
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 100)
    monkeypatch.setattr(module, "_LARGE_CHUNK_ELEMENTS", 300)


@pytest.mark.parametrize("queries", [0, 1, 10, 41])
def test_without_kernels_for_cpus_queries_are_read_in_chunks(queries, small_chunks):
    example = large_example(30, queries, hits=4, width=6)
    table = tf.Variable(example[0])
    with plain_kernels():
        found = step_of(table)(*map(tf.constant, example[1:]))
    check(found, *example)
    indices = found[1].indices.numpy()
    assert len(set(indices)) == len(indices)


@pytest.mark.parametrize("rows", [30, 1000])
def test_inside_xla_queries_are_read_in_chunks(rows, small_chunks):
    """With more hits than rows and with fewer, of a batch whose size is known when it runs."""
    values, slots, weights, upstream = large_example(rows, queries=41, hits=4, width=7)
    signature = [tf.TensorSpec([None, *one.shape[1:]], one.dtype) for one in (slots, weights)]
    signature.append(tf.TensorSpec([None, 7]))
    step = step_of(tf.Variable(values), signature, jit_compile=True)
    for queries in (41, 1, 0):
        batch = slots[:queries], weights[:queries], upstream[:queries]
        found = step(*batch)
        check(found, values, *batch)
        assert len(found[1].indices) == min(rows, queries * 4)
    program = step.experimental_get_compiler_ir(slots, weights, upstream)("optimized_hlo")
    assert "[41,4]" in program
    assert "[41,4,7]" not in program
    if rows < 164:  # else it is the shape of the gradient
        assert "[164,7]" not in program


def test_inside_xla_a_table_may_have_any_number_of_rows():
    values, *example = large_example(20, queries=9, hits=4, width=5)

    @tf.function(input_signature=[tf.TensorSpec([None, 5])], jit_compile=True)
    def run(table):
        with tf.GradientTape() as tape:
            tape.watch(table)
            out = weighted_gather(table, *example[:2])
        return out, tape.gradient(out, table, example[2])

    found = run(values)
    check((*found, np.einsum("nkd,nd->nk", values[example[0]], example[2])), values, *example)


def test_inside_xla_hits_no_more_than_rows_are_the_gradient():
    example = large_example(1000, queries=12, hits=4, width=9)
    found = step_of(tf.Variable(example[0]), jit_compile=True)(*map(tf.constant, example[1:]))
    check(found, *example)
    np.testing.assert_array_equal(found[1].indices, example[1].ravel())


@pytest.mark.parametrize("mode", ["graph", "plain", "xla"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_added_up_in_float32(mode, dtype):
    """Ones, 2,000 of them: counted one by one, bfloat16 would stop at 256."""
    table = tf.Variable(tf.ones([3, 2], dtype))
    slots, weights = tf.ones([2000, 1], tf.int32), tf.ones([2000, 1])
    upstream = tf.ones([2000, 2], dtype)
    with plain_kernels() if mode == "plain" else contextlib.nullcontext():
        out, gradient, of_weights = step_of(table, jit_compile=mode == "xla")(
            slots, weights, upstream
        )
        total = weighted_gather(table, tf.ones([1, 2000], tf.int32), tf.ones([1, 2000]))
    assert out.dtype == gradient.dtype == total.dtype == dtype
    want = tf.cast(tf.cast(2000.0, dtype), "float32")
    np.testing.assert_array_equal(
        tf.cast(tf.convert_to_tensor(gradient), "float32")[1], [want, want]
    )
    np.testing.assert_array_equal(tf.cast(total, "float32"), [[want, want]])
    np.testing.assert_array_equal(of_weights, np.full([2000, 1], 2.0, "float32"))


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


def test_runs_in_each_replica():
    # Not inside XLA: it reads no variable of a second logical device of a CPU.
    values, *example = large_example(20, queries=16, hits=4, width=5)
    devices = [device.name for device in tf.config.list_logical_devices("CPU")[:2]]
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        table = tf.Variable(values)
    parts = [
        strategy.experimental_distribute_values_from_function(
            lambda replica, part=part: tf.constant(part[8 * replica.replica_id_in_sync_group :][:8])
        )
        for part in example
    ]
    step = step_of(table)
    found = tf.function(lambda *parts: strategy.run(step, parts))(*parts)
    out, gradients, of_weights = map(strategy.experimental_local_results, found)
    gradient = tf.add_n([tf.convert_to_tensor(one) for one in gradients])
    check((np.concatenate(out), gradient, np.concatenate(of_weights)), values, *example)
