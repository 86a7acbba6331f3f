import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.rows.sparse_product import SparseRows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_graph", [False, True])
def test_agrees_with_the_dense_product(dtype, is_graph):
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 6, (9, 4))  # some rows name a column twice
    weights = rng.normal(size=(9, 4)).astype(dtype)
    right, left = rng.normal(size=(6, 5)).astype(dtype), rng.normal(size=(9, 5)).astype(dtype)
    dense = np.zeros((9, 6), dtype)
    np.add.at(dense, (np.arange(9)[:, None], columns), weights)

    def products(columns, weights, right, left):
        matrix = SparseRows(columns, weights, 6)
        return matrix.product(right), matrix.transposed_product(left)

    run = tf.function(products) if is_graph else products
    product, transposed = run(columns, weights, tf.constant(right), tf.constant(left))
    np.testing.assert_allclose(product, dense @ right, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(transposed, dense.T @ left, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_a_matrix_without_entries(shape):
    run = tf.function(
        lambda columns, weights: (
            SparseRows(columns, weights, 6).product(tf.ones([6, 2])),
            SparseRows(columns, weights, 6).transposed_product(tf.ones([shape[0], 2])),
        )
    )
    product, transposed = run(tf.zeros(shape, tf.int32), tf.zeros(shape))
    np.testing.assert_array_equal(product, np.zeros((shape[0], 2)))
    np.testing.assert_array_equal(transposed, np.zeros((6, 2)))
