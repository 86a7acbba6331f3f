import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.top_positions import take_positions, top_positions


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
