import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.search.counting import (
    LOWEST,
    counted_top_k,
    fold_columns,
    from_sortable,
    to_sortable,
)

SCORES = np.array([-np.inf, -3e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1.5, 3e38, np.inf], "float32")


def test_integers_sort_like_floats(run_mode):
    keys = run_mode(to_sortable)(tf.constant(SCORES)).numpy()
    assert (np.diff(keys.astype("int64")) >= 0).all()
    assert keys[4] == keys[5]
    assert len(set(keys)) == len(SCORES) - 1
    assert keys.min() > LOWEST


def test_nan_is_minus_infinity(run_mode):
    nan = tf.constant([np.nan, -np.nan, -np.inf], tf.float32)
    assert len(set(run_mode(to_sortable)(nan).numpy())) == 1


def test_comes_back(run_mode):
    back = run_mode(lambda scores: from_sortable(to_sortable(scores)))(tf.constant(SCORES))
    np.testing.assert_array_equal(back, SCORES)


@pytest.mark.parametrize(("width", "k"), [(1, 1), (7, 7), (8, 3), (30, 11)])
def test_agrees_with_sorting(run_mode, width, k):
    rng = np.random.default_rng(width)
    keys = rng.integers(-3, 3, (20, width)).astype("int32")  # most are tied
    ids = rng.permuted(np.tile(np.arange(width, dtype="int32") * 5, (20, 1)), axis=1)
    found = run_mode(lambda a, b: counted_top_k(a, b, k))(keys, ids)
    order = np.lexsort((ids, -keys))[:, :k]
    for got, tensor in zip(found, (keys, ids), strict=True):
        np.testing.assert_array_equal(got, np.take_along_axis(tensor, order, axis=1))


@pytest.mark.parametrize("width", [1, 8, 19])
def test_folds_the_columns_in_their_order(width):
    columns = np.random.default_rng(0).integers(0, 9, (3, width)).astype("int32")

    def body(state, index, column):
        return (state * 3 + column * (index + 1)) % 1009

    got = tf.function(lambda c: fold_columns(body, tf.zeros([3, 1], tf.int32), c))(columns)
    want = np.zeros([3, 1], "int32")
    for index in range(width):
        want = body(want, index, columns[:, index : index + 1])
    np.testing.assert_array_equal(got, want)
