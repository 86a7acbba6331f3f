import numpy as np
import tensorflow as tf

from lmn_tf.ops.held_ids import held_ids


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
