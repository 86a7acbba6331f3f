import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import Windows
from lmn_tf.ops.sequence.combinations import Combinations

NO_ROWS = ([], [], 0)
NO_EVENTS = ([0, 0, 0], [0, 0, 0], 0)
ONE_ROW = ([1], [3], 5)
OWN_EVENTS = ([0, 2, 2, 5], [2, 0, 3, 1], 6)
# Row 3 sees nothing, event 3 is seen by one row, and event 5 by none.
SHARED = ([0, 0, 0, 3, 3, 6, 6], [2, 2, 3, 0, 2, 1, 2], 8)


def random_runs(seed):
    """Rows of several users, whose beginnings and ends never decrease."""
    rng = np.random.default_rng(seed)
    first, last, begin = [], [], 0
    for _ in range(rng.integers(1, 5)):
        rows, run = rng.integers(1, 7), rng.integers(1, 9)
        starts = np.sort(rng.integers(0, run, rows))
        ends = np.maximum(np.sort(rng.integers(0, run + 1, rows)), starts)
        first += list(begin + starts)
        last += list(begin + ends)
        begin += run
    return first, list(np.subtract(last, first)), begin


CASES = [NO_ROWS, NO_EVENTS, ONE_ROW, OWN_EVENTS, SHARED, *map(random_runs, range(6))]


def plain_combinations(pairs, values):
    """Returns the event of each combination, and the combination of each pair."""
    events, numbers, before = [], {}, None
    for place, (_, event) in sorted(enumerate(pairs), key=lambda pair: pair[1][::-1]):
        found = event, *(column[place] for column in values)
        if found != before:
            events.append(event)
        numbers[place], before = len(events) - 1, found
    return events, [numbers[place] for place in range(len(pairs))]


def matrices(first, lengths, num_events, values, newest):
    """Returns what each method multiplies by, as dense matrices."""
    rows = range(len(first))
    pairs = [(row, first[row] + step) for row in rows for step in range(lengths[row])]
    events, numbers = plain_combinations(pairs, values)
    kept = [
        (row, number)
        for (row, event), number in zip(pairs, numbers, strict=True)
        if event >= first[row] + lengths[row] - newest
    ]
    of_pair = np.zeros((len(kept), len(events)))
    of_row, of_event = np.zeros((len(first), len(events))), np.zeros((len(events), num_events))
    owner = np.zeros((len(events), len(first)))
    for place, (row, number) in enumerate(kept):
        of_pair[place, number] = of_row[row, number] = 1
    for number, event in enumerate(events):
        of_event[number, event] = 1
        owner[number, max(row for row in rows if first[row] <= event)] = 1
    counts = of_row.sum(0)
    return {
        "pairs": of_pair,
        "event_sum": of_row,
        "event_mean": of_row / np.maximum(of_row.sum(1, keepdims=True), 1),
        "combined": of_event,
        "of_events": owner,
        "mean": counts[None] / max(counts.sum(), 1),
    }


def methods(first, lengths, num_events, newest, values, of_combinations, of_events, of_rows):
    """Returns what each method returns, and its gradient."""
    combinations = Combinations.of(Windows(first, lengths, num_events), values)
    distinct = [combinations.distinct(column) for column in values]
    if newest is not None:
        combinations = combinations.newest(newest)
    inputs = {"combined": of_events, "of_events": of_rows}
    results = {}
    for name in ("pairs", "event_sum", "event_mean", "combined", "of_events", "mean"):
        x = inputs.get(name, of_combinations)
        with tf.GradientTape() as tape:
            tape.watch(x)
            if name == "mean":
                y = combinations.mean(x[:, 0])[None, None]
            else:
                y = getattr(combinations, name)(x)
            upstream = tf.reshape(tf.cast(tf.range(tf.size(y)), tf.float32), tf.shape(y))
            loss = tf.reduce_sum(y * tf.stop_gradient(upstream))
        results[name] = x, y, upstream, tape.gradient(loss, x)
    return results, combinations.event_weights, distinct


SCALAR, VECTOR, MATRIX = (tf.TensorSpec([None] * rank, tf.int32) for rank in (0, 1, 2))
FLOATS = tf.TensorSpec([None, 2], tf.float32)
GRAPHS = {
    newest: tf.function(
        lambda first, lengths, num_events, values, *x, newest=newest: methods(
            first, lengths, num_events, newest, [values[0], values[1]], *x
        ),
        input_signature=[VECTOR, VECTOR, SCALAR, MATRIX, FLOATS, FLOATS, FLOATS],
        autograph=False,
    )
    for newest in (None, 2)
}


@pytest.mark.parametrize("newest", [None, 2])
@pytest.mark.parametrize("is_graph", [False, True])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_methods_are_dense_products(case, is_graph, newest):
    first, lengths, num_events = case
    rng = np.random.default_rng(7)
    values = rng.integers(0, 2, (2, sum(lengths))).astype("int32")
    values[1] = 0
    want = matrices(first, lengths, num_events, values, newest or 100)
    count = len(want["combined"])
    x = [rng.normal(size=(size, 2)).astype("float32") for size in (count, num_events, len(first))]
    arguments = [np.array(part, "int32") for part in (first, lengths, num_events)]
    arguments = [tf.constant(part) for part in (*arguments, values, *x)]
    if is_graph:
        results, weights, distinct = GRAPHS[newest](*arguments)
    else:
        results, weights, distinct = methods(
            *arguments[:3], newest, tf.unstack(arguments[3]), *arguments[4:]
        )
    for name, parts in results.items():
        x, y, upstream, gradient = (part.numpy() for part in parts)
        matrix = want[name]
        product = matrix @ x
        if name == "mean":
            product = product[:, :1]
        np.testing.assert_allclose(y, product, rtol=1e-5, atol=1e-6, err_msg=name)
        expected = matrix.T @ upstream
        if name == "mean":
            expected = np.pad(expected, [[0, 0], [0, 1]])
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6, err_msg=name)
    np.testing.assert_array_equal(weights, want["event_sum"].sum(0))
    if newest is None:
        for column, found in zip(values, distinct, strict=True):
            np.testing.assert_array_equal(want["pairs"] @ found.numpy(), column)


@pytest.mark.parametrize("bad", np.float32([9.2e18, 3e38, -np.inf, np.nan]))
@pytest.mark.parametrize("is_graph", [False, True])
def test_a_bad_value_stays_with_what_it_is_a_part_of(is_graph, bad):
    def sums(events, weights):
        # Of events 0 to 2, rows 1 and 2 see event 1 alike and event 2 each in its own way.
        windows = Windows([0, 1, 1], [1, 2, 2], 3)
        combinations = Combinations.of(windows, [tf.constant([0, 1, 2, 1, 3])])
        with tf.GradientTape() as tape:
            tape.watch(events)
            total = combinations.event_sum(events)
            loss = tf.reduce_sum(total * weights)
        return total, tape.gradient(loss, events)

    sums = tf.function(sums) if is_graph else sums
    weights = tf.constant([[bad], [1.0], [2.0]])
    total, gradient = sums(tf.constant([[bad], [1.5], [2.0], [4.0]]), weights)
    np.testing.assert_array_equal(total, [[bad], [3.5], [5.5]])
    np.testing.assert_array_equal(gradient, [[bad], [3.0], [1.0], [2.0]])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype):
    windows = Windows([0, 0], [3000, 3000], 3000)
    combinations = Combinations.of(windows, [tf.zeros([6000], tf.int32)])
    total = combinations.event_sum(tf.ones([3000, 1], dtype))
    assert total.dtype == dtype
    assert (
        total.numpy().astype("float32").tolist() == [[3008.0 if dtype == "bfloat16" else 3000]] * 2
    )
