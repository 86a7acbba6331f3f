import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import ValidPositions
from lmn_tf.ops.sequence.valid_positions import StepOrder

MASK = np.array(
    [[0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]],
    bool,
)
HISTORY = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")


def in_steps(mask):
    """The valid rows step by step, the longest first, and of equal ones the first."""
    order = sorted(range(len(mask)), key=lambda row: -mask[row].sum())
    valid = [HISTORY[row][mask[row]] for row in range(len(mask))]
    return [
        [valid[row][step] for row in order if len(valid[row]) > step]
        for step in range(mask.shape[1])
    ]


@pytest.mark.parametrize("compiled", [None, False])
def test_leaves_padding_out(compiled):
    def run(history):
        positions = ValidPositions(MASK, history)
        order = StepOrder(positions)
        listed = positions.take(history)
        steps = order.take(listed)
        return order.rows, steps, order.put(steps), listed, order.last(steps)

    if compiled is False:
        run = tf.function(run)
    rows, steps, again, listed, last = run(tf.constant(HISTORY))
    want = in_steps(MASK)
    np.testing.assert_array_equal(rows, [len(step) for step in want])
    np.testing.assert_array_equal(steps, np.concatenate(want))
    np.testing.assert_array_equal(again, listed)
    ends = [HISTORY[row][mask][-1] if mask.any() else [0, 0] for row, mask in enumerate(MASK)]
    np.testing.assert_array_equal(last, ends)


@pytest.mark.parametrize("mask", [MASK, None])
def test_keeps_padding_in_xla_and_without_a_mask(mask):
    @tf.function(jit_compile=mask is not None)
    def run(history):
        positions = ValidPositions(mask, history)
        order = StepOrder(positions)
        steps = order.take(tf.reshape(history, [-1, 2]))
        return order.rows, steps, order.put(steps), order.last(steps)

    rows, steps, again, last = run(tf.constant(HISTORY))
    assert rows == 5
    np.testing.assert_array_equal(steps, np.swapaxes(HISTORY, 0, 1).reshape(-1, 2))
    np.testing.assert_array_equal(again, HISTORY.reshape(-1, 2))
    np.testing.assert_array_equal(last, HISTORY[:, -1])


def test_gradients():
    weights = np.random.default_rng(1).normal(size=(10, 2)).astype("float32")
    with tf.GradientTape() as tape:
        history = tf.constant(HISTORY)
        tape.watch(history)
        positions = ValidPositions(MASK, history)
        order = StepOrder(positions)
        loss = tf.reduce_sum(weights * order.take(positions.take(history)))
    want = positions.put(order.put(tf.constant(weights)))
    np.testing.assert_array_equal(tape.gradient(loss, history), want)


def test_nothing_valid():
    positions = ValidPositions(np.zeros((2, 3), bool), HISTORY[:2, :3])
    order = StepOrder(positions)
    np.testing.assert_array_equal(order.rows, [0])
    steps = order.take(positions.take(HISTORY[:2, :3]))
    assert steps.shape == (0, 2)
    np.testing.assert_array_equal(order.last(steps), np.zeros((2, 2)))
