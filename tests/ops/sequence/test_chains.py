import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import ValidPositions, Windows, plain_kernels
from lmn_tf.ops.sequence.chains import Chains
from lmn_tf.ops.sequence.combinations import Combinations

# Two users: rows 0 to 4 share a chain of events 0 to 2, of which row 5 sees the newest two; row 6
# sees nothing and stands where the other user's events begin, which rows 7 to 9 share.
FIRST, LENGTH, EVENTS = [0, 0, 0, 0, 0, 1, 3, 3, 3, 3], [0, 1, 1, 2, 3, 2, 0, 2, 2, 4], 7
CHAINS = [(0, range(0, 5)), (1, range(5, 6)), (3, range(6, 10))]
NO_ROWS = ([], [], 0)
NO_EVENTS = ([0, 0], [0, 0], 0)


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.fixture(params=["eager", "graph"])
def run(request):
    return (lambda f: f) if request.param == "eager" else tf.function


def decayed(history):
    """The states of a simple recurrence, after each event."""
    states, state = [], np.zeros(history.shape[1:], "float32")
    for event in history:
        state = 0.5 * state + event
        states.append(state)
    return states


def states_of(padded, mask):
    """The same over padded chains, `(steps, chains, d)`; padding carries the state."""
    states, state = [], tf.zeros_like(padded[:, 0])
    for step in range(padded.shape[1]):
        state = tf.where(mask[:, step, None], 0.5 * state + padded[:, step], state)
        states.append(state)
    return tf.stack(states)


def row_states(events, first, length, initial, is_compiled=False):
    chains = Chains(Windows(first, length, len(events)), is_compiled)
    with tf.GradientTape() as tape:
        tape.watch([events, initial])
        states = states_of(chains.padded(events), chains.mask)
        last = chains.last(states, initial)
        loss = tf.reduce_sum(last * tf.cast(tf.range(1, len(first) + 1), tf.float32)[:, None])
    return last, *tape.gradient(loss, [events, initial])


def test_rows_that_begin_alike_are_a_chain_as_long_as_the_longest(run):
    def made():
        chains = Chains(Windows(FIRST, LENGTH, EVENTS))
        return chains.windows.first, chains.windows.lengths, chains.counts, chains.mask

    first, lengths, counts, mask = run(made)()
    np.testing.assert_array_equal(first, [first for first, _ in CHAINS])
    np.testing.assert_array_equal(lengths, [max(LENGTH[row] for row in rows) for _, rows in CHAINS])
    for chain, (_, rows) in enumerate(CHAINS):
        want = [sum(LENGTH[row] > step for row in rows) for step in range(4)]
        np.testing.assert_array_equal(counts[chain], want)
    np.testing.assert_array_equal(mask, counts > 0)


@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_row_reads_the_state_that_it_would_have_by_itself(run, is_compiled):
    events, initial = example(EVENTS, 2), example(len(FIRST), 2)
    got = run(lambda e, i: row_states(e, FIRST, LENGTH, i, is_compiled))(
        tf.constant(events), tf.constant(initial)
    )
    of_events, of_initial = np.zeros_like(events), np.zeros_like(initial)
    for row, (first, length) in enumerate(zip(FIRST, LENGTH, strict=True)):
        if not length:
            np.testing.assert_array_equal(got[0][row], initial[row])
            of_initial[row] = row + 1
            continue
        want = decayed(events[first : first + length])[-1]
        np.testing.assert_allclose(got[0][row], want, rtol=1e-6)
        ages = np.arange(length)[::-1]
        of_events[first : first + length] += (row + 1) * 0.5 ** ages[:, None]
    np.testing.assert_allclose(got[1], of_events, rtol=1e-6)
    np.testing.assert_array_equal(got[2], of_initial)


def test_rows_find_their_steps(run):
    events = example(EVENTS, 2)

    def pairs(events):
        chains = Chains(Windows(FIRST, LENGTH, EVENTS))
        return chains.rows.pairs(chains.windows.pairs(events))

    want = [events[first : first + length] for first, length in zip(FIRST, LENGTH, strict=True)]
    np.testing.assert_array_equal(run(pairs)(events), np.concatenate(want))


@pytest.mark.parametrize("nothing", [NO_ROWS, NO_EVENTS])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_a_share_without_rows_or_events(nothing, is_compiled):
    first, length, count = nothing
    initial = tf.constant(example(len(first), 2))
    last, of_events, _ = row_states(tf.zeros([count, 2]), first, length, initial, is_compiled)
    np.testing.assert_array_equal(last, initial)
    assert of_events.shape == (0, 2)


def test_padded_rows_are_chains_of_their_own():
    mask = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1]], bool)
    history = example(3, 3, 2)
    positions = ValidPositions(mask, history)
    for is_compiled in (False, True):
        chains = Chains(positions, is_compiled)
        assert chains.counts is None and chains.rows is positions
        padded = chains.padded(positions.take(history))
        np.testing.assert_array_equal(padded, history * mask[..., None])
        last = chains.last(states_of(padded, chains.mask), tf.zeros([3, 2]))
        want = [np.zeros(2), *(decayed(history[row][mask[row]])[-1] for row in (1, 2))]
        np.testing.assert_allclose(last, want, rtol=1e-6)
    assert Chains(ValidPositions(None, history)).mask is None
    assert Chains(ValidPositions(None, history), is_compiled=True).mask.numpy().all()


@pytest.mark.parametrize("is_compiled", [False, True])
def test_rows_that_see_other_values_are_chains_of_their_own(is_compiled):
    seen = np.arange(sum(LENGTH), dtype="int32") // 3
    combinations = Combinations.of(Windows(FIRST, LENGTH, EVENTS), [tf.constant(seen)])
    chains = Chains(combinations, is_compiled)
    assert chains.counts is None
    events = example(EVENTS, 2)
    vectors = combinations.combined(events) + np.float32(combinations.distinct(seen))[:, None]
    last = chains.last(states_of(chains.padded(vectors), chains.mask), tf.zeros([len(FIRST), 2]))
    starts = np.cumsum([0, *LENGTH])
    for row, (first, length) in enumerate(zip(FIRST, LENGTH, strict=True)):
        values = seen[starts[row] : starts[row + 1], None]
        want = decayed(events[first : first + length] + values)[-1] if length else np.zeros(2)
        np.testing.assert_allclose(last[row], want, rtol=1e-6)


@pytest.mark.parametrize(
    ("rows", "length", "shape"), [(3, 5, (3, 5)), (65, 33, (80, 34)), (64, 200, (64, 200))]
)
def test_compiled_recurrences_see_few_shapes(rows, length, shape):
    windows = Windows(np.arange(rows) * length, [length] * rows, rows * length)
    chains = Chains(windows, is_compiled=True)
    padded, mask = chains.padded(tf.ones([rows * length, 1])), chains.mask
    assert padded.shape[:2] == mask.shape == chains.counts.shape == shape
    np.testing.assert_array_equal(padded[..., 0] > 0, mask)
    assert tf.reduce_sum(chains.counts) == rows * length
    with plain_kernels():
        assert Chains(windows, is_compiled=True).mask.shape == (rows, length)
