import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.ops import merge_duplicates


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
