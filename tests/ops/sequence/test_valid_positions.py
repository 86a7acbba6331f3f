import numpy as np
import tensorflow as tf

from lmn_tf.ops import ValidPositions

MASK = np.array([[True, False, True], [False, False, False], [True, True, False]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_leaves_padding_out_except_inside_xla():
    x = example(3, 3, 2)
    assert ValidPositions(MASK, x).take(x).shape == (4, 2)
    assert ValidPositions(None, x).take(x).shape == (9, 2)
    compiled = tf.function(lambda x: ValidPositions(MASK, x).take(x), jit_compile=True)
    assert compiled(x).shape == (9, 2)


def test_put_undoes_take(run_mode):
    def both(x):
        positions = ValidPositions(MASK, x)
        return positions.put(positions.take(x))

    x = example(3, 3, 2)
    np.testing.assert_array_equal(run_mode(both)(x), np.where(MASK[..., None], x, 0))
    x = example(3, 3)
    np.testing.assert_array_equal(run_mode(both)(x), np.where(MASK, x, 0))


def test_sums_means_and_repeats(run_mode):
    def statistics(x, row):
        positions = ValidPositions(MASK, x)
        flat = positions.take(x)
        return (
            positions.row_sum(flat),
            positions.row_mean(flat),
            positions.mean(flat[:, 0]),
            positions.put(positions.repeat(row)),
            positions.row_max(flat - 1.0),
        )

    x, row = example(3, 3, 2), example(3, 4)
    total, average, mean, repeated, largest = run_mode(statistics)(x, row)
    clean = np.where(MASK[..., None], x, 0)
    np.testing.assert_allclose(total, clean.sum(1), rtol=1e-6)
    np.testing.assert_allclose(average, clean.sum(1) / [[2], [1], [2]], rtol=1e-6)
    want = np.where(MASK[..., None], x - 1.0, -9.0).max(1)
    np.testing.assert_allclose(largest, np.maximum(want, 0.0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean, x[MASK][:, 0].mean(), rtol=1e-5)
    np.testing.assert_array_equal(repeated, np.where(MASK[..., None], row[:, None], 0))


def test_content_of_padding_may_be_nan(run_mode):
    def means(x):
        positions = ValidPositions(MASK, x)
        # What a layer makes of padding inside XLA, where it is listed.
        flat = positions.take(x)
        if positions.valid is not None:
            flat = tf.where(positions.valid[:, None], flat, np.nan)
        return positions.row_mean(flat), positions.mean(flat[:, 0])

    x = example(3, 3, 2)
    average, mean = run_mode(means)(x)
    np.testing.assert_allclose(mean, x[MASK][:, 0].mean(), rtol=1e-5)
    want = np.where(MASK[..., None], x, 0).sum(1) / [[2], [1], [2]]
    np.testing.assert_allclose(average, want, rtol=1e-6)


def test_sums_of_long_histories_in_half_precision_count_every_position():
    mask = np.arange(3000) < np.array([[3000], [2500]])
    ones = tf.ones([2, 3000, 1], tf.float16)  # which stop growing at 2,048 in their own precision
    positions = ValidPositions(mask, ones)
    total = positions.row_sum(positions.take(ones))
    assert total.dtype == tf.float16
    np.testing.assert_array_equal(total[:, 0], [3000, 2500])


def test_gradients_agree_in_all_modes(run_mode):
    def gradients(x, row):
        with tf.GradientTape() as tape:
            tape.watch([x, row])
            positions = ValidPositions(MASK, x)
            flat = positions.take(x) * positions.repeat(row)
            loss = tf.reduce_sum(positions.row_sum(flat) ** 2)
            loss += tf.reduce_sum(positions.put(flat) ** 3)
        return tape.gradient(loss, [x, row])

    x, row = example(3, 3, 2), example(3, 2)
    flat = np.where(MASK[..., None], x * row[:, None], 0)
    upstream = 2 * flat.sum(1, keepdims=True) + 3 * flat**2
    got_x, got_row = run_mode(gradients)(tf.constant(x), tf.constant(row))
    want = np.where(MASK[..., None], upstream * row[:, None], 0)
    np.testing.assert_allclose(got_x, want, rtol=1e-4, atol=1e-5)
    want = np.where(MASK[..., None], upstream * x, 0).sum(1)
    np.testing.assert_allclose(got_row, want, rtol=1e-4, atol=1e-5)


def test_mean_of_nothing_is_zero(run_mode):
    def mean(x):
        positions = ValidPositions(np.zeros((3, 3), bool), x)
        return positions.mean(positions.take(x)[:, 0])

    assert float(run_mode(mean)(example(3, 3, 2))) == 0.0
