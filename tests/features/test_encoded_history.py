import numpy as np
import tensorflow as tf

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.ops import ValidPositions, Windows

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


def test_what_a_row_adds_makes_an_event_of_each_pair():
    part = tf.constant(np.arange(12.0, dtype="float32").reshape(6, 2))
    one = history(row_part=part)
    assert one.vectors.shape == (6, 2) and one.events.shape == (4, 2)
    np.testing.assert_array_equal(one.vectors, EVENTS[ROWS[0] + ROWS[1]] + part)
    np.testing.assert_array_equal(one.padded[1], EVENTS[ROWS[1]] + part[3:])
    np.testing.assert_array_equal(one.windows.row_sum(one.vectors), tf.reduce_sum(one.padded, 1))


def test_the_newest_events_of_each_row():
    for one in (history(), history(row_part=tf.zeros([6, 2])), padded_history()):
        newest = one.newest(2)
        assert newest.mask.numpy().sum(1).tolist() == [2, 2, 0]
        total = newest.windows.event_sum(newest.vectors)
        np.testing.assert_allclose(total, [EVENTS[1:3].sum(0), EVENTS[2:4].sum(0), [0, 0]])


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
