import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute.collectives import (
    all_to_all,
    counted_bytes,
    gather_over_replicas,
    mean_over_replicas,
    replica_count,
    replica_id,
    run_where,
    share_of_replicas,
    sum_in_order,
    sum_over_replicas,
)
from lmn_tf.distribute.strategy import mirrored


def test_replicas_of_several_processes_are_refused(monkeypatch):
    """Of a strategy over processes, a process knows the results of its own replicas alone."""
    strategy = replicas(2)
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", type(strategy))
    with pytest.raises(ValueError, match="replicas must be in one process to exchange rows, as a"):
        strategy.run(lambda: gather_over_replicas(tf.ones([2])))


def parts_of(source, count, width=3):
    """What a replica sends: as many rows as the pair of replicas tells, some of them none."""
    rng = np.random.default_rng(source)
    return [
        rng.normal(size=((2 * source + target) % 5, width)).astype("f") for target in range(count)
    ]


def exchanged(strategy, graph=True):
    """What all replicas received, and the gradients of what they sent."""
    count = strategy.num_replicas_in_sync

    def on_replica():
        parts = [tf.constant(part) for part in parts_of(replica_id(), count)]
        with tf.GradientTape() as tape:
            tape.watch(parts)
            received = all_to_all(parts)
            scale = float(replica_id() + 1)
            loss = tf.add_n([tf.reduce_sum(part) * scale for part in received])
        return received, tape.gradient(loss, parts)

    run = (
        tf.function(lambda: strategy.run(on_replica)) if graph else lambda: strategy.run(on_replica)
    )
    received, gradients = run()
    local = strategy.experimental_local_results
    return (
        [[local(part)[r].numpy() for part in received] for r in range(count)],
        [[local(part)[r].numpy() for part in gradients] for r in range(count)],
    )


@pytest.mark.parametrize(("count", "graph"), [(4, True), (2, False)])
def test_each_replica_gets_what_is_meant_for_it(count, graph):
    received, gradients = exchanged(replicas(count), graph)
    for target in range(count):
        for source in range(count):
            want = parts_of(source, count)[target]
            np.testing.assert_array_equal(received[target][source], want)
            # What came of a part is the scale of the replica that received it.
            np.testing.assert_array_equal(gradients[source][target], np.full_like(want, target + 1))


def test_integers_move_too():
    def on_replica():
        return all_to_all([tf.constant([10 * replica_id() + target]) for target in range(2)])

    received = replicas(2).run(on_replica)
    assert [part.values[1].numpy().tolist() for part in received] == [[1], [11]]


def test_rows_of_all_replicas():
    def on_replica():
        rows = tf.constant(parts_of(replica_id(), 3)[0])
        with tf.GradientTape() as tape:
            tape.watch(rows)
            gathered, start = gather_over_replicas(rows)
            loss = tf.reduce_sum(gathered) * float(replica_id() + 1)
        return gathered, start, tape.gradient(loss, rows)

    gathered, start, gradient = replicas(3).run(on_replica)
    sent = [parts_of(source, 3)[0] for source in range(3)]
    for replica in range(3):
        np.testing.assert_array_equal(gathered.values[replica], np.concatenate(sent))
        assert int(start.values[replica]) == sum(map(len, sent[:replica]))
        # What came of a row on each of the replicas.
        np.testing.assert_array_equal(gradient.values[replica], np.full_like(sent[replica], 6.0))
    alone, start = gather_over_replicas(sent[0])
    assert alone is sent[0] and start == 0


def test_what_moves_is_counted():
    with counted_bytes() as sent:
        exchanged(replicas(2), graph=False)
    between = [parts_of(0, 2)[1].nbytes, parts_of(1, 2)[0].nbytes]
    # There, and its gradient back.
    assert sum(sent) == 2 * sum(between)
    with counted_bytes() as none:
        pass
    assert none == []


def test_sums_and_shares():
    assert replica_count() == 1
    assert sum_over_replicas(3.0) == 3.0
    assert float(share_of_replicas(5)) == 1.0
    strategy = replicas(2)

    def on_replica():
        count = tf.constant([1, 3])[replica_id()]
        return sum_over_replicas(count), share_of_replicas(count), share_of_replicas(0)

    total, share, empty = strategy.run(on_replica)
    assert [int(one) for one in total.values] == [4, 4]
    assert [float(one) for one in share.values] == [0.5, 1.5]
    assert [float(one) for one in empty.values] == [0.0, 0.0]


def test_means_count_in_proportion():
    assert mean_over_replicas(3, tf.constant(2.0)) == 2.0
    means = tf.constant([[1.0, 2.0], [5.0, 6.0]])

    def on_replica():
        count = tf.constant([1, 3])[replica_id()]
        return mean_over_replicas(count, means[replica_id()]), mean_over_replicas(0, means[0])

    whole, none = replicas(2).run(on_replica)
    assert [one.numpy().tolist() for one in whole.values] == [[4.0, 5.0]] * 2
    assert [one.numpy().tolist() for one in none.values] == [[0.0, 0.0]] * 2


@pytest.mark.parametrize("count", [1, 2])
def test_runs_on_all_replicas_or_on_none(count):
    strategy = replicas(count) if count > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        total = tf.Variable(0.0, aggregation=tf.VariableAggregation.SUM)

    @tf.function
    def step(condition):
        def on_replica():
            run_where(condition, lambda parts: total.assign_add(parts[0]), [tf.constant(2.0)])

        strategy.run(on_replica)

    step(tf.constant(True))
    step(tf.constant(False))
    assert float(total.numpy()) == 2.0 * count


def test_a_sum_does_not_depend_on_which_of_its_parts_may_be_written_over():
    # Arguments of a function may not be, what is computed in it may: `tf.add_n` would start there.
    given = tf.function(lambda *parts: sum_in_order(parts))
    computed = tf.function(lambda first, *others: sum_in_order([first, others[0], -others[1]]))
    large = tf.constant(1e8)
    assert float(given(large, -large, tf.constant(1.0))) == 1.0
    assert float(computed(large, -large, tf.constant(-1.0))) == 1.0


def test_the_reduction_over_replicas_adds_in_their_order():
    # Replicas that differ by much: another order of the three loses the small part.
    strategy = mirrored(3)

    def on_replica():
        return tf.constant([1e8, -1e8, 1.0])[replica_id()] * 1.0

    total = tf.function(lambda: strategy.reduce("SUM", strategy.run(on_replica), axis=None))
    assert {float(total()) for _ in range(20)} == {1.0}
