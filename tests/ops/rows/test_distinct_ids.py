import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.ops import distinct_ids, merge_duplicates
from lmn_tf.ops.rows.distinct_ids import are_distinct, padded_distinct_ids


def test_lists_each_id_once():
    ids = np.random.default_rng(0).integers(0, 9, (5, 4)) * 2**40
    distinct, positions = distinct_ids(ids)
    assert len(set(distinct.numpy())) == len(distinct)
    np.testing.assert_array_equal(distinct.numpy()[positions.numpy()], ids)


def test_no_ids():
    distinct, positions = distinct_ids(tf.zeros([0, 3], tf.int32))
    assert distinct.shape == (0,)
    assert positions.shape == (0, 3)


@pytest.mark.parametrize(("shape", "limit"), [((5, 4), 9), ((3,), 50), ((0, 2), 7), ((4, 4), 1)])
def test_lists_each_id_once_without_a_shape_that_depends_on_ids(run_mode, shape, limit):
    ids = np.random.default_rng(0).integers(0, limit, shape)
    distinct, positions = run_mode(lambda i: padded_distinct_ids(i, limit))(ids)
    assert distinct.shape == (min(ids.size, limit),) and distinct.dtype == ids.dtype
    np.testing.assert_array_equal(distinct.numpy()[positions.numpy()], ids)
    want = np.unique(ids)
    np.testing.assert_array_equal(distinct[: len(want)], want)
    assert set(distinct[len(want) :].numpy()) <= {*ids.ravel()[:1]}


def test_the_gradient_of_a_gather_by_distinct_ids_is_known_to_be_distinct():
    table = tf.Variable(tf.ones([5, 2]))
    seen = {}

    @tf.function
    def run(ids):
        distinct, positions = distinct_ids(ids)
        with tf.GradientTape() as tape:
            once = tf.reduce_sum(tf.gather(tf.gather(table, distinct), positions) ** 2)
        seen["once"] = are_distinct(tape.gradient(once, table).indices)
        with tf.GradientTape() as tape:
            often = tf.reduce_sum(tf.gather(table, ids) ** 2)
        seen["often"] = are_distinct(tape.gradient(often, table).indices)
        with tf.GradientTape() as tape:
            both = tf.reduce_sum(tf.gather(table, distinct)) + tf.reduce_sum(tf.gather(table, ids))
        seen["both"] = are_distinct(tape.gradient(both, table).indices)

    run(tf.constant([1, 1, 3]))
    assert seen == {"once": True, "often": False, "both": False}


def test_eager_tensors_are_not_known_to_be_distinct():
    assert not are_distinct(distinct_ids([1, 2])[0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("tail", [(3,), (), (2, 3)])
def test_agrees_with_a_loop(dtype, tail):
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 7, 40)
    values = rng.integers(-8, 8, (40, *tail)).astype(dtype)
    want = np.zeros((7, *tail))
    np.add.at(want, indices, values)
    for merge in (merge_duplicates, tf.function(merge_duplicates)):
        rows, sums = merge(indices, values)
        assert len(set(rows.numpy())) == len(rows) == len(set(indices))
        np.testing.assert_array_equal(sums, want[rows.numpy()])
        assert sums.dtype == dtype


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(1, 12), st.integers(0, 10_000))
def test_any_number_of_any_ids(hits, distinct, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(-(2**62), 2**62, distinct)  # far beyond what a table can hold
    indices, values = rng.choice(ids, hits), rng.integers(-8, 8, (hits, 2)).astype("float32")
    rows, sums = merge_duplicates(indices, values)
    assert sorted(rows.numpy()) == sorted(set(indices))
    for row, total in zip(rows.numpy(), sums.numpy(), strict=True):
        np.testing.assert_array_equal(total, values[indices == row].sum(axis=0))


def test_nan_stays_in_its_row():
    rows, sums = merge_duplicates([4, 2, 4], [[1.0], [2.0], [np.nan]])
    np.testing.assert_array_equal(rows, [4, 2])
    np.testing.assert_array_equal(sums, [[np.nan], [2.0]])


def test_the_gradient_goes_to_every_hit(run_mode):
    def gradient(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            sums = merge_duplicates(tf.constant([4, 2, 4]), values)[1]
            factors = tf.constant([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])
            loss = tf.reduce_sum(sums * factors[: tf.shape(sums)[0]])
        return tape.gradient(loss, values)

    got = run_mode(gradient)(tf.ones([3, 2]))
    np.testing.assert_array_equal(got, [[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]])


@pytest.mark.parametrize(("indices", "values"), [((3,), (2, 4)), ((3, 1), (3, 4)), ((3,), ())])
def test_values_must_be_as_many(indices, values):
    with pytest.raises(ValueError, match=r"`values` must be as many as `indices`, which have one"):
        merge_duplicates(tf.zeros(indices, tf.int32), tf.zeros(values))


def test_order_is_that_of_first_appearance():
    rows, sums = merge_duplicates([4, 2, 4, 0], [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(rows, [4, 2, 0])
    np.testing.assert_array_equal(sums, [[4.0], [2.0], [4.0]])


def test_nothing_to_merge():
    """As where all histories of a batch are empty; a graph once ended the process here."""
    for merge in (merge_duplicates, tf.function(merge_duplicates)):
        rows, sums = merge(tf.zeros([0], tf.int32), tf.zeros([0, 3]))
        assert rows.shape == (0,) and sums.shape == (0, 3)


def test_inside_xla_where_the_number_of_rows_is_unknown():
    @tf.function(jit_compile=True)
    def total(indices, values):
        return tf.reduce_sum(merge_duplicates(indices, values)[1], axis=0)

    np.testing.assert_allclose(total(tf.constant([1, 1, 2]), tf.ones([3, 2])), [3.0, 3.0])


def test_repeats_to_the_bit():
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 50, 20_000)
    values = rng.normal(size=(20_000, 8)).astype("float32")
    first, second = (merge_duplicates(indices, values)[1].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
