import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.memory.memory_reading import MemoryReading, balance_of, scores_at


def test_scores_of_some_keys_are_those_of_all():
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(3, 2, 4)), rng.normal(size=(2, 5, 4))
    ids = rng.integers(0, 5, (3, 2, 2))
    found = scores_at(ids, queries, keys)
    for n, h, k in np.ndindex(3, 2, 2):
        assert float(found[n, h, k]) == pytest.approx(queries[n, h] @ keys[h, ids[n, h, k]])


def test_closed_keys_take_no_part_in_the_balance():
    rng = np.random.default_rng(0)
    queries = tf.constant(rng.normal(size=(6, 2, 1, 4)), tf.float32)
    keys = [tf.constant(rng.normal(size=(1, 5, 4)), tf.float32) for _ in range(2)]
    rows, columns = rng.integers(0, 3, (2, 6, 1, 2)).astype("int32")
    of_five = MemoryReading(None, rows * 5 + columns, None, queries)
    of_three = MemoryReading(None, rows * 3 + columns, None, queries)
    want = balance_of(of_three, [one[:, :3] for one in keys], None, 0.5)
    with tf.GradientTape() as tape:
        tape.watch(keys)
        found = balance_of(of_five, keys, None, 0.5, open_keys=tf.constant(3))
    assert float(found) == pytest.approx(float(want), rel=1e-5)
    for gradient in tape.gradient(found, keys):
        assert np.abs(gradient[:, :3]).sum() > 0 and not np.any(gradient[:, 3:])
