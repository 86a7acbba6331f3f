import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import ValidPositions, Windows

# Two runs: events 0 to 4, which rows 0 to 2 share, and 5 to 6; row 3 sees nothing, event 3 is seen
# by nobody but row 2.
FIRST, LENGTH, EVENTS = [0, 0, 2, 5, 5], [2, 3, 3, 0, 2], 7
SEEN = [range(first, first + length) for first, length in zip(FIRST, LENGTH, strict=True)]


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def windows():
    return Windows(FIRST, LENGTH, EVENTS)


@pytest.fixture(params=["eager", "graph"])
def run(request):
    return (lambda f: f) if request.param == "eager" else tf.function


def test_pairs_are_the_events_of_each_row(run):
    events = example(EVENTS, 3)
    pairs = run(lambda x: windows().pairs(x))(events)
    np.testing.assert_array_equal(pairs, np.concatenate([events[list(seen)] for seen in SEEN]))
    padded = run(lambda x: windows().put(windows().pairs(x)))(events)
    assert padded.shape == (5, 3, 3)
    for row, seen in enumerate(SEEN):
        np.testing.assert_array_equal(padded[row, : len(seen)], events[list(seen)])
        assert not padded[row, len(seen) :].numpy().any()


def test_sums_and_means_are_those_of_the_padded_form(run):
    events, padded = example(EVENTS, 3), np.zeros((5, 3, 3), "float32")
    for row, seen in enumerate(SEEN):
        padded[row, : len(seen)] = events[list(seen)]
    mask = np.arange(3) < np.array(LENGTH)[:, None]
    positions = ValidPositions(mask, padded)
    flat = positions.take(padded)

    def values(events):
        w = windows()
        pairs = w.pairs(events)
        sums = w.event_sum(events), w.event_mean(events), w.event_sqrtn(events)
        return *sums, w.row_sum(pairs), w.mean(events[:, 0])

    total = positions.row_sum(flat)
    of_root = total / np.sqrt(np.maximum(LENGTH, 1))[:, None]
    wanted = total, positions.row_mean(flat), of_root, total, positions.mean(flat[:, 0])
    for got, want in zip(run(values)(events), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_weights_count_the_rows_that_see_an_event():
    counts = [sum(event in seen for seen in SEEN) for event in range(EVENTS)]
    assert windows().event_weights.numpy().tolist() == counts
    assert int(windows().num_pairs) == sum(counts) == sum(LENGTH)


def test_an_event_takes_a_row_of_its_run():
    rows = tf.range(5)[:, None]
    owners = windows().of_events(rows)[:, 0].numpy()
    assert set(owners[:5]) <= {0, 1, 2} and set(owners[5:]) == {4}


@pytest.mark.parametrize(
    "method", ["pairs", "event_sum", "event_mean", "of_events", "repeat", "mean", "row_softmax"]
)
def test_gradients_are_those_of_dense_products(run, method):
    rows = {"of_events": 5, "repeat": 5, "row_softmax": sum(LENGTH)}.get(method, EVENTS)
    x = tf.constant(example(rows, 2))
    if method in ("mean", "row_softmax"):
        x = x[:, 0]

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = getattr(windows(), method)(x)
            loss = tf.reduce_sum(
                y * tf.reshape(tf.range(1.0, tf.cast(tf.size(y), tf.float32) + 1.0), tf.shape(y))
            )
        return tape.gradient(loss, x)

    step, numeric = 1e-2, np.zeros(x.shape, "float64")

    def weigh(y):
        y = np.asarray(y, "float64")
        return np.sum(y * np.arange(1, y.size + 1).reshape(y.shape))

    for index in np.ndindex(*x.shape):
        delta = np.zeros(x.shape, "float32")
        delta[index] = step
        up, down = (getattr(windows(), method)(x + sign * delta) for sign in (1, -1))
        numeric[index] = (weigh(up) - weigh(down)) / (2 * step)
    np.testing.assert_allclose(run(gradient)(x), numeric, rtol=2e-3, atol=2e-2)


def test_a_share_without_rows_or_events():
    for nothing in (Windows([], [], 0), Windows([0, 0], [0, 0], 0)):
        events = tf.zeros([0, 3])
        rows = int(nothing.batch)
        assert nothing.pairs(events).shape == (0, 3)
        assert nothing.of_events(tf.zeros([rows, 2])).shape == (0, 2)
        np.testing.assert_array_equal(nothing.event_mean(events), np.zeros((rows, 3)))
        assert float(nothing.mean(events[:, 0])) == 0


@pytest.mark.parametrize("bad", np.float32([9.2e18, 3e38, -np.inf, np.nan]))
def test_a_bad_value_stays_with_what_it_is_a_part_of(run, bad):
    def sums(events, weights):
        shared = Windows([0, 1, 1], [1, 2, 2], 3)
        with tf.GradientTape() as tape:
            tape.watch(events)
            total = shared.event_sum(events)
            loss = tf.reduce_sum(total * weights)
        return total, tape.gradient(loss, events)

    weights = tf.constant([[bad], [1.0], [2.0]])
    total, gradient = run(sums)(tf.constant([[bad], [1.5], [2.0]]), weights)
    np.testing.assert_array_equal(total, [[bad], [3.5], [3.5]])
    np.testing.assert_array_equal(gradient, [[bad], [3.0], [3.0]])


@pytest.mark.parametrize("bad", [9.2e18, np.inf, np.nan])
def test_a_row_that_does_not_see_a_bad_event_of_its_run_keeps_its_sum(run, bad):
    total = run(lambda x: Windows([0, 1, 1], [3, 2, 3], 4).event_sum(x))(
        tf.constant([[bad], [1.5], [2.0], [0.25]])
    )
    np.testing.assert_array_equal(total[1:], [[3.5], [3.75]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype):
    first, events = tf.zeros([2], tf.int32), tf.cast(example(3000, 4), dtype)
    total = Windows(first, first + 3000, 3000).event_sum(events)
    want = tf.cast(tf.reduce_sum(tf.cast(events, tf.float64), axis=0), dtype)
    np.testing.assert_array_equal(total, np.stack([want] * 2))
    assert total.dtype == dtype


def test_long_runs_round_no_more_than_single_sums():
    events = example(100_000, 1) + 1000.0
    first = np.arange(0, 99_000, 1000)
    total = Windows(first, np.full(99, 1000), 100_000).event_sum(events)[:, 0]
    want = [events[start : start + 1000].astype("float64").sum() for start in first]
    np.testing.assert_allclose(total, want, rtol=1e-7)
