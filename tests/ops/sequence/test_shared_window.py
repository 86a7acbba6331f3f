import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import SharedWindow, Windows
from lmn_tf.ops.sequence.shared_window import on_rows

ROWS = 3


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def forms(events):
    """The window that all rows share, and the same window of each row."""
    rows = np.ones(ROWS, int)
    return SharedWindow(events, ROWS), Windows(0 * rows, events * rows, events)


@pytest.mark.parametrize("events", [4, 1, 0])
def test_what_rows_get_is_what_they_get_of_windows_of_their_own(events, run_mode):
    x, per_pair, per_row = example(events, 2), example(ROWS * events), example(ROWS, 2)

    def values(window, x, per_pair, per_row):
        pairs = window.pairs(x)
        return (
            pairs,
            window.event_sum(x),
            window.event_mean(x),
            window.event_sqrtn(x),
            window.repeat(per_row),
            window.row_sum(per_pair[:, None] * pairs),
            window.of_pairs.event_mean(pairs),
            window.row_softmax(per_pair),
            [window.num_events, window.num_pairs],
        )

    shared, windows = forms(events)
    wanted = values(windows, *(tf.constant(part) for part in (x, per_pair, per_row)))

    def run(x, per_pair, per_row):
        return values(SharedWindow(tf.shape(x)[0], ROWS), x, per_pair, per_row)

    for got, want in zip(run_mode(run)(x, per_pair, per_row), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)
    mean = shared.mean(tf.constant(x[:, 0]))
    np.testing.assert_allclose(mean, windows.mean(tf.constant(x[:, 0])), rtol=1e-6)


def test_the_padded_form_is_of_one_row():
    window, events = SharedWindow(4, ROWS), example(4, 2)
    np.testing.assert_array_equal(window.padded(events), events[None])
    assert window.padded_mask.numpy().tolist() == [[True] * 4]


def test_an_empty_history_is_padding():
    window = SharedWindow(0, ROWS)
    assert window.padded(example(0, 2)).numpy().tolist() == [[[0, 0]]]
    assert window.padded_mask.numpy().tolist() == [[False]]
    assert not window.event_mean(example(0, 2)).numpy().any()


@pytest.mark.parametrize("count", [2, 9])
def test_the_newest_events(count):
    assert int(SharedWindow(4, ROWS).newest(count).num_events) == min(count, 4)


def test_an_event_has_the_same_place_in_all_rows():
    window, events = SharedWindow(3, ROWS), example(3, 2)
    assert window.newer.numpy().tolist() == [2, 1, 0]
    placed, windows = window.placed(events)
    assert placed is events and windows is window


def test_users_and_what_is_of_the_window():
    window, user = SharedWindow(4, ROWS), example(1, 2)
    assert (example(4, 2) + window.of_events(user)).shape == (4, 2)
    np.testing.assert_array_equal(window.of_rows(user), np.repeat(user, ROWS, axis=0))


def test_sums_of_half_precision_do_not_stop_at_2048():
    ones = tf.ones([5000, 1], tf.float16)
    assert SharedWindow(5000, 1).event_sum(ones).numpy().tolist() == [[5000]]


def test_only_what_is_of_one_user_is_repeated():
    rows = tf.zeros([ROWS, 5])
    user = tf.constant(example(1, 2))
    np.testing.assert_array_equal(on_rows(user, rows), np.repeat(user, ROWS, axis=0))
    assert on_rows(rows, rows) is rows and on_rows(user, rows[:1]) is user
