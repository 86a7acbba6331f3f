import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.counted_top_k import counted_top_k, fold_columns


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
