import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.compile import plain_kernels
from lmn_tf.ops.rows.weighted_gather import weighted_segment_sum


def example():
    rng = np.random.default_rng(0)
    segments = np.sort(rng.choice([0, 1, 2, 4], 30)).astype("int32")  # segments 3 and 5 are empty
    positions = rng.integers(0, 7, 30).astype("int32")
    return rng.normal(size=(7, 3)).astype("f"), positions, rng.normal(size=30).astype("f"), segments


def twin(rows, positions, weights, segments):
    total = np.zeros((6, rows.shape[1]), "f")
    np.add.at(total, segments, weights[:, None] * rows[positions])
    return total


@pytest.mark.parametrize("kernels", ["sparse", "plain"])
@pytest.mark.parametrize("is_graph", [False, True])
def test_sums_and_gradients(kernels, is_graph):
    rows, positions, weights, segments = example()
    upstream = np.random.default_rng(1).normal(size=(6, 3)).astype("f")

    def run(rows, weights):
        with tf.GradientTape() as tape:
            tape.watch([rows, weights])
            total = weighted_segment_sum(rows, positions, weights, segments, 6)
            loss = tf.reduce_sum(total * upstream)
        return total, *tape.gradient(loss, [rows, weights])

    run = tf.function(run) if is_graph else run
    if kernels == "plain":
        with plain_kernels():
            total, of_rows, of_weights = run(tf.constant(rows), tf.constant(weights))
    else:
        total, of_rows, of_weights = run(tf.constant(rows), tf.constant(weights))
    np.testing.assert_allclose(
        total, twin(rows, positions, weights, segments), rtol=1e-5, atol=1e-6
    )
    want = np.zeros_like(rows)
    np.add.at(want, positions, weights[:, None] * upstream[segments])
    np.testing.assert_allclose(of_rows, want, rtol=1e-5, atol=1e-6)
    want = (rows[positions] * upstream[segments]).sum(1)
    np.testing.assert_allclose(of_weights, want, rtol=1e-5, atol=1e-6)


def test_nothing_to_sum():
    none = np.zeros(0, "int32")
    run = tf.function(lambda rows, weights: weighted_segment_sum(rows, none, weights, none, 4))
    assert run(tf.zeros((0, 3)), tf.zeros(0)).numpy().tolist() == [[0.0] * 3] * 4
