import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.sparse_product import SparseRows


@pytest.mark.parametrize("rows", [0, 1, 40])
@pytest.mark.parametrize("in_graph", [False, True])
def test_products_are_those_of_the_dense_matrix(rows, in_graph):
    """Also without rows, as where all histories of a batch are empty."""
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 7, (rows, 5)).astype("int32")
    weights = rng.integers(-8, 8, (rows, 5)).astype("float32")
    dense, upstream = (rng.integers(-8, 8, (n, 3)).astype("float32") for n in (7, rows))
    matrix = np.zeros((rows, 7), "float32")
    np.add.at(matrix, (np.arange(rows)[:, None], columns), weights)

    def products(columns, weights, dense, upstream):
        sparse = SparseRows(columns, weights, 7)
        return sparse.product(dense), sparse.transposed_product(upstream)

    run = tf.function(products) if in_graph else products
    product, transposed = run(*map(tf.constant, (columns, weights, dense, upstream)))
    np.testing.assert_array_equal(product, matrix @ dense)
    np.testing.assert_array_equal(transposed, matrix.T @ upstream)
