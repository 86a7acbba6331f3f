import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import distinct_ids
from lmn_tf.ops.distinct_ids import are_distinct, padded_distinct_ids


def test_lists_each_id_once():
    ids = np.random.default_rng(0).integers(0, 9, (5, 4)) * 2**40
    distinct, positions = distinct_ids(ids)
    assert len(set(distinct.numpy())) == len(distinct)
    np.testing.assert_array_equal(distinct.numpy()[positions.numpy()], ids)


def test_no_ids():
    distinct, positions = distinct_ids(tf.zeros([0, 3], tf.int32))
    assert distinct.shape == (0,)
    assert positions.shape == (0, 3)


@pytest.mark.parametrize(("shape", "limit"), [((5, 4), 9), ((3,), 50), ((0, 2), 7), ((4, 4), 1)])
def test_lists_each_id_once_without_a_shape_that_depends_on_ids(run_mode, shape, limit):
    ids = np.random.default_rng(0).integers(0, limit, shape)
    distinct, positions = run_mode(lambda i: padded_distinct_ids(i, limit))(ids)
    assert distinct.shape == (min(ids.size, limit),) and distinct.dtype == ids.dtype
    np.testing.assert_array_equal(distinct.numpy()[positions.numpy()], ids)
    want = np.unique(ids)
    np.testing.assert_array_equal(distinct[: len(want)], want)
    assert set(distinct[len(want) :].numpy()) <= {*ids.ravel()[:1]}


def test_the_gradient_of_a_gather_by_distinct_ids_is_known_to_be_distinct():
    table = tf.Variable(tf.ones([5, 2]))
    seen = {}

    @tf.function
    def run(ids):
        distinct, positions = distinct_ids(ids)
        with tf.GradientTape() as tape:
            once = tf.reduce_sum(tf.gather(tf.gather(table, distinct), positions) ** 2)
        seen["once"] = are_distinct(tape.gradient(once, table).indices)
        with tf.GradientTape() as tape:
            often = tf.reduce_sum(tf.gather(table, ids) ** 2)
        seen["often"] = are_distinct(tape.gradient(often, table).indices)
        with tf.GradientTape() as tape:
            both = tf.reduce_sum(tf.gather(table, distinct)) + tf.reduce_sum(tf.gather(table, ids))
        seen["both"] = are_distinct(tape.gradient(both, table).indices)

    run(tf.constant([1, 1, 3]))
    assert seen == {"once": True, "often": False, "both": False}


def test_eager_tensors_are_not_known_to_be_distinct():
    assert not are_distinct(distinct_ids([1, 2])[0])
