import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import (
    masked_mean,
    masked_moments,
    masked_softmax,
    masked_sqrtn,
    masked_sum,
    zero_padding,
)
from lmn_tf.ops.sequence.masked import held_ids, row_mean, take_positions, top_positions

MASK = np.array([[True, False, True], [False, False, False], [True, True, True]])


def example():
    x = np.random.default_rng(0).normal(size=(3, 3, 2)).astype("float32")
    return np.where(MASK[..., None], x, np.float32(np.nan))


def test_sums_and_means_leave_padding_out(run_mode):
    x = example()
    want = np.stack([x[0, [0, 2]].sum(0), np.zeros(2), x[2].sum(0)])
    np.testing.assert_allclose(run_mode(masked_sum)(x, MASK), want, rtol=1e-6)
    np.testing.assert_allclose(
        run_mode(masked_mean)(x, MASK), want / np.array([[2], [1], [3]]), rtol=1e-6
    )
    np.testing.assert_allclose(
        run_mode(masked_sqrtn)(x, MASK), want / np.sqrt([[2], [1], [3]]), rtol=1e-6
    )


def test_without_a_mask_everything_counts(run_mode):
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")
    np.testing.assert_allclose(run_mode(masked_mean)(x), x.mean(1), rtol=1e-5)
    np.testing.assert_allclose(run_mode(masked_sum)(x), x.sum(1), rtol=1e-5)
    np.testing.assert_allclose(run_mode(masked_sqrtn)(x), x.sum(1) / 2, rtol=1e-5)


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


def literal(scores, mask, count):
    """By sorting: best first, of equal ones the newest first, and no padding."""
    rows = []
    for row, valid in zip(scores, mask, strict=True):
        places = np.flatnonzero(valid)
        rows.append(sorted(places, key=lambda place, row=row: (-row[place], -place))[:count])
    return rows


def found(positions, kept):
    return [p[k].tolist() for p, k in zip(positions.numpy(), kept.numpy(), strict=True)]


def test_padding_never_beats_a_valid_score(run_mode):
    # Where scores are multiplied by the mask, positions 2 and 3 win: padding among them.
    scores, mask = [[-1.0, -2.0, 0.5, -3.0]], [[True, True, True, False]]
    positions, kept = run_mode(lambda s, m: top_positions(s, m, 2))(
        tf.constant(scores), tf.constant(mask)
    )
    assert positions.numpy().tolist() == [[2, 0]]
    assert kept.numpy().all()


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_equals_sorting(run_mode, count):
    rng = np.random.default_rng(count)
    scores = rng.integers(-3, 3, (40, 7)).astype("float32")  # ties everywhere
    mask = rng.random((40, 7)) < 0.6
    mask[0] = False
    junk = np.where(mask, scores, np.float32(np.nan))
    positions, kept = run_mode(lambda s, m: top_positions(s, m, count))(
        tf.constant(junk), tf.constant(mask)
    )
    assert positions.shape == kept.shape == (40, min(count, 7))
    assert found(positions, kept) == literal(scores, mask, count)


def test_what_is_not_kept_comes_last():
    mask = tf.constant([[True, False, True, False], [False] * 4])
    _, kept = top_positions(tf.zeros([2, 4]), mask, 3)
    assert kept.numpy().tolist() == [[True, True, False], [False] * 3]


def test_equal_scores_give_the_newest_positions_on_either_side_of_the_padding():
    for row, want in (([1, 1, 1, 0, 0], [2, 1]), ([0, 0, 1, 1, 1], [4, 3])):
        positions, kept = top_positions(tf.zeros([1, 5]), np.array([row], bool), 2)
        assert found(positions, kept) == [want]


def test_without_a_mask_every_position_counts():
    positions, kept = top_positions([[1.0, 3.0, 2.0]], count=2)
    assert found(positions, kept) == [[1, 2]]


def test_length_may_be_unknown():
    @tf.function(
        input_signature=[tf.TensorSpec((None, None)), tf.TensorSpec((None, None), tf.bool)]
    )
    def run(scores, mask):
        return top_positions(scores, mask, 3)

    for length in (1, 3, 5):
        positions, _ = run(tf.zeros([2, length]), tf.ones([2, length], tf.bool))
        assert positions.shape == (2, min(3, length))


def test_what_is_taken_has_a_gradient(run_mode):
    positions, _ = top_positions([[1.0, 3.0, 2.0], [9.0, 8.0, 7.0]], count=2)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            taken = take_positions(x, positions)
            loss = tf.reduce_sum(taken * [[[1.0], [2.0]], [[3.0], [4.0]]])
        return taken, tf.convert_to_tensor(tape.gradient(loss, x))

    x = tf.reshape(tf.range(6.0), [2, 3, 1])
    taken, got = run_mode(gradient)(x)
    np.testing.assert_array_equal(taken[..., 0], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(got[..., 0], [[0, 1, 2], [3, 4, 0]])


def test_single_ids(run_mode):
    events = tf.constant([[3, 4, 0, 3], [0, 0, 1, 2]])
    held = run_mode(held_ids)(events, tf.constant([3, 0]))
    assert held.shape == (2, 4, 1)
    assert held[..., 0].numpy().tolist() == [[True, False, False, True], [False] * 4]


def test_lists(run_mode):
    rng = np.random.default_rng(0)
    events = rng.integers(0, 5, (6, 4, 3)).astype("int32")
    candidate = rng.integers(0, 5, (6, 2)).astype("int32")
    held = run_mode(held_ids)(tf.constant(events), tf.constant(candidate)).numpy()
    for row, place, value in np.ndindex(held.shape):
        wanted = candidate[row, value]
        assert held[row, place, value] == (wanted != 0 and wanted in events[row, place])


def test_kinds_of_integers_may_differ():
    assert held_ids(np.array([[7]], "int64"), np.array([7], "int32")).numpy().all()


def test_weighted_moments_are_those_of_repeated_positions(run_mode):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    times = [2, 0, 1, 3]
    got = run_mode(masked_moments)(x, np.array(times, "float32"))
    for value, want in zip(got, masked_moments(np.repeat(x, times, axis=0)), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-5)
