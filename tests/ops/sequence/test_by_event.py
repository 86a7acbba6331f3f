import threading

from lmn_tf.ops.sequence.by_event import by_event, noted_events


def test_values_are_noted_within_the_block_alone():
    assert by_event(1) == 1
    with noted_events() as outer:
        by_event(2)
        with noted_events() as inner:
            by_event(3)
        by_event(4)
    by_event(5)
    assert outer == [2, 4] and inner == [3]


def test_other_threads_note_nothing():
    with noted_events() as noted:
        thread = threading.Thread(target=by_event, args=(1,))
        thread.start()
        thread.join()
    assert noted == []
