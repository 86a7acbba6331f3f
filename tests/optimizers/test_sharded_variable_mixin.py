import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute.collectives import replica_id
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.optimizers import GroupOptimizer, LossScaleOptimizer, RowWiseAdagrad

NORMAL = keras.initializers.RandomNormal(seed=1)
IDS = np.array([[0, 3, 3], [5, 0, 6]], "int32")


def steps(count, make_optimizer, scale=1.0, broken=None):
    """The table and its state after three steps on all ids, `broken` on one replica's."""
    strategy = replicas(2) if count == 2 else tf.distribute.get_strategy()
    with strategy.scope():
        if count == 2:
            table = ShardedTable((7, 2), NORMAL, name="embeddings")
        else:
            table = keras.Variable(NORMAL((7, 2)), name="embeddings")
        kernel = keras.Variable([1.0, 2.0], name="kernel")
        optimizer = make_optimizer()
        optimizer.build([table, kernel])

    def on_replica():
        ids = tf.constant(IDS[replica_id()] if count == 2 else IDS.reshape(-1))
        with tf.GradientTape() as tape:
            rows = table.lookup(ids) if count == 2 else tf.gather(table.value, ids)
            loss = scale * tf.reduce_sum(tf.square(rows - kernel.value))
        gradients = tape.gradient(loss, [table, kernel])
        if broken is not None and (count == 1 or replica_id() == 1):
            gradients[1] += broken
        optimizer.apply(gradients, [table, kernel])

    run = tf.function(lambda: strategy.run(on_replica))
    for _ in range(3):
        run()
    return [np.array(one) for one in [table, kernel, *optimizer.variables]]


@pytest.mark.parametrize(
    "clip",
    [
        {"global_clipnorm": 0.5},
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ({}, {"weight_decay": 0.1}, {"clipnorm": 0.5}, {"clipvalue": 0.2})
        ),
    ],
)
def test_shards_take_the_steps_of_the_whole_table(clip):
    def make():
        dense = keras.optimizers.SGD(0.1)
        return GroupOptimizer(dense, RowWiseAdagrad(0.1, **clip))

    for one, two in zip(steps(1, make), steps(2, make), strict=True):
        assert one.shape == two.shape
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("broken", [None, np.inf])
def test_loss_scaling_looks_at_all_replicas(broken):
    def make():
        return LossScaleOptimizer(RowWiseAdagrad(0.1), initial_scale=4.0)

    start = [NORMAL((7, 2)).numpy(), np.array([1.0, 2.0], "f")]
    one, two = (steps(count, make, scale=4.0, broken=broken) for count in (1, 2))
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5, atol=1e-6)
    for before, after in zip(start, two[:2], strict=True):
        assert np.array_equal(before, after) == (broken is not None)
