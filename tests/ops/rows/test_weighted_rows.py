import importlib

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import plain_kernels
from lmn_tf.ops.rows.weighted_gather import sum_in_chunks, weighted_rows

module = importlib.import_module("lmn_tf.ops.rows.weighted_gather")


def example(width):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(9, width)).astype("float32")
    positions = rng.integers(0, 9, (25, 3))
    weights = rng.normal(size=(25, 3)).astype("float32")
    return rows, positions, weights, np.einsum("nk,nkd->nd", weights, rows[positions])


def test_products_and_chunks_agree():
    rows, positions, weights, want = example(11)
    np.testing.assert_allclose(weighted_rows(rows, positions, weights), want, rtol=1e-5, atol=1e-6)
    with plain_kernels():
        sums = weighted_rows(rows, positions, weights)
    np.testing.assert_allclose(sums, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("has_gpu", [False, True])
def test_chunks_are_larger_on_gpus(has_gpu, monkeypatch):
    rows, positions, weights, want = example(13)
    sizes = []

    def recorded(function, tensors, rows_at_a_time, dtypes):
        sizes.append(rows_at_a_time)
        return [function(*tensors)[0]]

    monkeypatch.setattr(module, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", 5 * 3 * 13)
    monkeypatch.setattr(module, "_LARGE_CHUNK_ELEMENTS", 20 * 3 * 13)
    monkeypatch.setattr(module, "map_row_chunks", recorded)
    sums = tf.function(lambda: sum_in_chunks(tf.constant(rows), tf.constant(positions), weights))()
    np.testing.assert_allclose(sums, want, rtol=1e-5, atol=1e-6)
    assert sizes == [20 if has_gpu else 5]
