import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import masked_mean, masked_moments, masked_softmax, masked_sum, zero_padding
from lmn_tf.ops.sequence import row_mean

MASK = np.array([[True, False, True], [False, False, False], [True, True, True]])


def example():
    x = np.random.default_rng(0).normal(size=(3, 3, 2)).astype("float32")
    return np.where(MASK[..., None], x, np.float32(np.nan))


def test_sum_and_mean_leave_padding_out(run_mode):
    x = example()
    want = np.stack([x[0, [0, 2]].sum(0), np.zeros(2), x[2].sum(0)])
    np.testing.assert_allclose(run_mode(masked_sum)(x, MASK), want, rtol=1e-6)
    np.testing.assert_allclose(
        run_mode(masked_mean)(x, MASK), want / np.array([[2], [1], [3]]), rtol=1e-6
    )


def test_without_a_mask_everything_counts(run_mode):
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    np.testing.assert_allclose(run_mode(masked_mean)(x), x.mean(1), rtol=1e-5)
    np.testing.assert_allclose(run_mode(masked_sum)(x), x.sum(1), rtol=1e-5)


def test_mean_counts_beyond_what_float16_can():
    x = tf.ones([1, 3001, 1], "float16")
    assert abs(float(masked_mean(x, tf.ones([1, 3001], tf.bool))[0, 0]) - 1.0) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_softmax(run_mode, dtype):
    scores = np.array([[1.0, 500.0, 2.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    weights = run_mode(masked_softmax)(tf.cast(scores, dtype), MASK)
    assert weights.dtype == dtype
    want = [[0.268941, 0.0, 0.731059], [0.0, 0.0, 0.0], [1 / 3] * 3]
    np.testing.assert_allclose(tf.cast(weights, "float32"), want, atol=3e-3)
    np.testing.assert_array_equal(tf.cast(weights, "float32").numpy()[~MASK], 0.0)


def test_gradient_does_not_pass_through_padding(run_mode):
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(masked_mean(x, MASK) ** 2)
            loss += tf.reduce_sum(masked_softmax(x[..., 0], MASK) ** 2)
        return tape.gradient(loss, x)

    got = run_mode(gradient)(tf.constant(example())).numpy()
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(got[~MASK], 0.0)


def test_moments_of_valid_positions(run_mode):
    x = example()
    count, mean, variance = run_mode(masked_moments)(x, MASK)
    np.testing.assert_allclose(count, 5)
    np.testing.assert_allclose(mean, x[MASK].mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, x[MASK].var(0), rtol=1e-5)


def test_moments_of_nothing_are_zero(run_mode):
    for value in run_mode(masked_moments)(tf.ones([2, 3]), tf.zeros([2], tf.bool)):
        np.testing.assert_array_equal(value, np.zeros_like(value))


def test_zero_padding_without_a_mask_is_the_identity():
    x = tf.ones([2, 3])
    assert zero_padding(x, None) is x


def test_the_mean_of_no_rows_is_0_and_has_no_gradient():
    np.testing.assert_allclose(row_mean(tf.constant([[1.0, 2.0], [3.0, 6.0]])), [2.0, 4.0])
    kernel, rows = tf.constant([[1.0]]), tf.zeros((0, 1))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        mean = row_mean(rows @ kernel)
    assert mean.numpy().tolist() == [0.0]
    assert tape.gradient(mean, kernel).numpy().tolist() == [[0.0]]
