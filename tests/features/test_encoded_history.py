import numpy as np
import tensorflow as tf

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.ops import ValidPositions, Windows
from lmn_tf.ops.sequence.combinations import Combinations

FIRST, LENGTH = [0, 1, 4], [3, 3, 0]
EVENTS = np.arange(1.0, 9.0, dtype="float32").reshape(4, 2)
ROWS = [[0, 1, 2], [1, 2, 3], []]


def history(**parts):
    return EncodedHistory(tf.constant(EVENTS), Windows(FIRST, LENGTH, 4), **parts)


def test_rows_share_events():
    one = history()
    assert one.vectors is one.events and one.windows is one.event_windows
    assert one.mask.numpy().sum(1).tolist() == LENGTH
    for row, events in enumerate(ROWS):
        np.testing.assert_array_equal(one.padded[row, : len(events)], EVENTS[events])
        assert not one.padded[row, len(events) :].numpy().any()


# Of the pairs, row after row: rows 0 and 1 see the same in event 2, but not in event 1.
SEEN = [5, 5, 4, 3, 4, 6]
COMBINATIONS = [0, 1, 1, 2, 3]  # their events


def combined_history():
    windows = Windows(FIRST, LENGTH, 4)
    part = tf.constant(np.arange(10.0, dtype="float32").reshape(5, 2))
    return EncodedHistory(
        tf.constant(EVENTS), windows, part, Combinations.of(windows, [tf.constant(SEEN)])
    )


def test_a_combination_of_an_event_and_what_rows_see_is_one():
    one = combined_history()
    want = EVENTS[COMBINATIONS] + np.arange(10).reshape(5, 2)
    np.testing.assert_array_equal(one.vectors, want)
    np.testing.assert_array_equal(one.padded[:2], [want[[0, 1, 3]], want[[2, 3, 4]]])
    np.testing.assert_array_equal(one.windows.event_sum(one.vectors), tf.reduce_sum(one.padded, 1))
    assert one.events.shape == (4, 2) and one.of_fields("event")[1] is one.event_windows
    assert one.of_fields("all")[1] is one.windows


def test_the_newest_events_of_each_row():
    for one in (history(), combined_history(), padded_history()):
        newest = one.newest(2)
        assert newest.mask.numpy().sum(1).tolist() == [2, 2, 0]
        total = newest.windows.event_sum(newest.vectors)
        np.testing.assert_allclose(total, tf.reduce_sum(newest.padded, 1))
        want = [one.padded[0, 1:3].numpy().sum(0), one.padded[1, 1:3].numpy().sum(0), [0, 0]]
        np.testing.assert_allclose(total, want)


def padded_history():
    cells = np.array([EVENTS[:3], EVENTS[1:], EVENTS[:3]])
    positions = ValidPositions(tf.sequence_mask(LENGTH, 3), cells)
    return EncodedHistory(positions.take(cells), positions)


def test_parts_of_the_padded_form_by_key():
    ids = {"item": (tf.range(1, 5), tf.constant([7, 8, 9]))}
    one = history(target=tf.ones([3, 2]), ids=ids)
    assert one["history"] is one.padded and one["target"] is one.target
    np.testing.assert_array_equal(one["mask"], one.mask)
    events, candidate = one["ids"]["item"]
    assert events.numpy().tolist() == [[1, 2, 3], [2, 3, 4], [0, 0, 0]]
    assert candidate.numpy().tolist() == [7, 8, 9]
