import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute.collectives import counted_bytes, replica_id
from lmn_tf.distribute.tables.exchange_cost import exchange_bytes
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.optimizers import RowWiseAdagrad

NORMAL = keras.initializers.RandomNormal(seed=5)
# Queries of each replica: unequal numbers, none included.
QUERIES = {2: (4, 7), 3: (0, 5, 2), 4: (3, 0, 8, 1)}


def example(count, hits=3, num_rows=13, seed=0):
    """Ids, weights and upstream gradients of each replica."""
    rng = np.random.default_rng(seed)
    return [
        (
            rng.integers(0, num_rows, (queries, hits)).astype("int32"),
            rng.normal(size=(queries, hits)).astype("f"),
            rng.normal(size=(queries, hits, 4)).astype("f"),
        )
        for queries in QUERIES[count]
    ]


def mine(examples):
    return [tf.constant(value) for value in examples[replica_id()]]


def run(strategy, on_replica, graph):
    function = tf.function(lambda: strategy.run(on_replica))
    return function() if graph else strategy.run(on_replica)


def joined(table, gradients):
    """The gradient of the whole table from those of its shards."""
    whole = np.zeros(tuple(table.shape), "f")
    count = len(table.shards)
    for index, gradient in enumerate(gradients):
        slices = gradient.values.numpy(), gradient.indices.numpy()
        np.add.at(whole, slices[1] * count + index, slices[0])
    return whole


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("kind", ["lookup", "rows", "sums"])
def test_reads_and_gradients_are_those_of_the_whole_table(count, kind):
    strategy, examples = replicas(count), example(count)
    table = ShardedTable((13, 4), NORMAL, strategy, exchange=kind if kind != "lookup" else "auto")
    whole = NORMAL((13, 4)).numpy()
    np.testing.assert_array_equal(table.numpy(), whole)

    def on_replica():
        ids, weights, upstream = mine(examples)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            if kind == "lookup":
                out = table.lookup(ids)
                loss = tf.reduce_sum(out * upstream)
            else:
                out = table.weighted_sum(ids, weights)
                loss = tf.reduce_sum(out * upstream[:, 0])
        of_table, of_weights = tape.gradient(loss, [table, weights])
        return out, of_table, tf.zeros_like(weights) if of_weights is None else of_weights

    out, of_table, of_weights = run(strategy, on_replica, graph=kind != "rows")
    want = np.zeros_like(whole)
    for index, (ids, weights, upstream) in enumerate(examples):
        rows = whole[ids]
        if kind == "lookup":
            np.testing.assert_array_equal(out.values[index], rows)
            np.add.at(want, ids, upstream)
            continue
        sums = (weights[..., None] * rows).sum(1)
        np.testing.assert_allclose(out.values[index], sums, rtol=1e-5, atol=1e-6)
        np.add.at(want, ids, weights[..., None] * upstream[:, :1])
        dots = (rows * upstream[:, :1]).sum(-1)
        np.testing.assert_allclose(of_weights.values[index], dots, rtol=1e-5, atol=1e-6)
    found = joined(table, strategy.experimental_local_results(of_table))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("width", "times"), [(32, 3), (64, 5)])
def test_the_bytes_that_cross_are_those_foretold(width, times):
    strategy, queries, hits = replicas(4), 40, 32
    ids = np.random.default_rng(0).integers(0, 10**5, (4, queries, hits))
    shapes = {"shards": 4, "queries": 4 * queries, "hits": hits, "width": width}
    bytes_sent = {}
    for exchange in ("rows", "sums"):
        table = ShardedTable((10**5, width), "zeros", strategy, exchange=exchange)

        def on_replica(table=table):
            own = tf.constant(ids[replica_id()])
            weights = tf.random.stateless_normal(own.shape, [1, 2])
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = tf.reduce_sum(table.weighted_sum(own, weights) ** 2)
            return tape.gradient(loss, [table, weights])[1]

        with counted_bytes() as sent:
            strategy.run(on_replica)
        bytes_sent[exchange] = sum(sent)
        assert sum(sent) == pytest.approx(exchange_bytes(exchange, **shapes), rel=0.02)
    assert bytes_sent["rows"] >= times * bytes_sent["sums"]
    chosen = ShardedTable((10**5, width), "zeros", strategy)._exchange_for(tf.zeros((1, hits)))
    assert chosen == "sums"


def test_outside_of_replicas_it_is_one_variable(tmp_path):
    strategy = replicas(3)
    with strategy.scope():
        table = ShardedTable((10, 2), NORMAL, name="embeddings")
    whole = NORMAL((10, 2)).numpy()
    ids, weights = np.array([[9, 0], [9, 3]]), np.array([[1.0, -2.0], [0.5, 0.0]], "f")
    np.testing.assert_array_equal(table.lookup(ids), whole[ids])
    sums = (whole[ids] * weights[..., None]).sum(1)
    np.testing.assert_allclose(tf.function(table.weighted_sum)(ids, weights), sums, rtol=1e-5)
    np.testing.assert_array_equal(tf.convert_to_tensor(table), whole)
    assert [int(shard.shape[0]) for shard in table.shards] == [4, 3, 3]
    assert [shard.device[-5:] for shard in table.shards] == ["CPU:0", "CPU:1", "CPU:2"]
    table.assign(whole[::-1])
    np.testing.assert_array_equal(np.asarray(table), whole[::-1])
    assert repr(table) == "<ShardedTable path=embeddings, shape=(10, 2)>"
    with pytest.raises(ValueError, match=r"must have the shape \(10, 2\)"):
        table.assign(whole[:5])
    with pytest.raises(ValueError, match="Only row-wise optimizers"):
        keras.optimizers.Adam().build([table])
    with pytest.raises(ValueError, match="`use_ema` and `gradient_accumulation_steps`"):
        RowWiseAdagrad(use_ema=True).build([table])


def test_errors_of_initializers_reach_the_caller():
    def broken(shape, dtype=None):
        raise ValueError("no values today")

    with pytest.raises(ValueError, match="no values today"):
        ShardedTable((3, 2), broken, replicas(2))
