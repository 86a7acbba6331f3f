import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.distribute.tables.parameter_server_table import ParameterServerTable
from lmn_tf.distribute.tables.placement import read_rows, read_weighted_sum
from lmn_tf.optimizers import RowWiseAdagrad, RowWiseAdam

ROWS, WIDTH = 11, 3
NORMAL = keras.initializers.RandomNormal(seed=5)
IDS = np.array([[4, 0, 10], [4, 7, 4]])
WEIGHTS = np.array([[0.5, 1.0, -2.0], [1.0, 3.0, 0.25]], "float32")


def make(parts=3, **options):
    return ParameterServerTable(
        (ROWS, WIDTH), NORMAL, name="embeddings", devices=["/device:CPU:0"] * parts, **options
    )


def plain():
    return keras.Variable(NORMAL, shape=(ROWS, WIDTH), name="embeddings")


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_is_one_variable_in_the_order_of_ids(parts):
    table, whole = make(parts), plain().numpy()
    assert len(table.shards) == parts and tuple(table.shape) == (ROWS, WIDTH)
    np.testing.assert_array_equal(table.numpy(), whole)
    np.testing.assert_array_equal(table.shards[-1].numpy(), whole[parts - 1 :: parts])
    np.testing.assert_array_equal(table.lookup(IDS), whole[IDS])
    other = make(3)
    other.assign(whole * 2)
    np.testing.assert_array_equal(other.numpy(), whole * 2)
    assert "ParameterServerTable path=embeddings" in repr(table)


def train(table, optimizer, looks_up=False):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(read_weighted_sum(table, IDS, WEIGHTS) ** 3)
        if looks_up:
            loss += tf.reduce_sum(read_rows(table, IDS) ** 2)
    optimizer.apply(tape.gradient(loss, [table]), [table])
    return loss


@pytest.mark.parametrize("make_optimizer", [RowWiseAdagrad, RowWiseAdam])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"clipnorm": 0.1, "weight_decay": 0.1},
        {"frequency_rate": True, "idle_decay": 0.1},
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("exchange", ["rows", "sums"])
def test_trains_as_one_table(make_optimizer, options, compiled, exchange):
    results = []
    for table in (plain(), make(exchange=exchange)):
        optimizer = make_optimizer(0.1, **options)
        optimizer.build([table])

        # Two reads give a gradient that has lost its parts.
        step = functools.partial(train, table, optimizer, looks_up=exchange == "rows" or compiled)
        step = tf.function(step, autograph=False) if compiled else step
        losses = [float(step()) for _ in range(3)]
        state = {name: one.numpy() for name, one in optimizer.state_of(table).items()}
        results.append((losses, table.numpy(), state))
    (losses, whole, state), (others, split, split_state) = results
    assert others == pytest.approx(losses, rel=1e-5)
    np.testing.assert_allclose(split, whole, rtol=1e-5, atol=1e-6)
    for name in state:
        np.testing.assert_allclose(split_state[name], state[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("exchange", ["rows", "sums"])
def test_gradients_reach_the_weights_of_sums(exchange):
    weights = tf.constant(WEIGHTS)
    found = []
    for table in (plain(), make(exchange=exchange)):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = tf.reduce_sum(tf.square(read_weighted_sum(table, IDS, weights)))
        found.append(tape.gradient(loss, weights).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_what_an_optimizer_remembers_lies_where_its_rows_do():
    table = make()
    state = table.companion((ROWS,), 0.5, "accumulator")
    assert [tuple(part.shape) for part in state.shards] == [(4,), (4,), (3,)]
    assert state.numpy().tolist() == [0.5] * ROWS and not state.trainable
    ids = tf.constant([10, 3, 7, 0])
    rows = tf.reshape(tf.range(12.0), [4, 3])
    parts = table.split(tf.IndexedSlices(rows, ids))
    assert [part.indices.numpy().tolist() for part in parts] == [[1, 0], [3, 2], []]
    assert parts[0].values.numpy().tolist() == [[3.0, 4.0, 5.0], [9.0, 10.0, 11.0]]


def test_the_exchange_of_fewer_bytes():
    table, ids = make(), np.zeros((2, 32), int)
    assert table._exchange_for(ids) == "rows"  # all of a small table is read anyway
    table._shape = (100_000, 32)
    assert table._exchange_for(ids) == "sums"
    assert table._exchange_for(ids[:, :2]) == "rows"


def test_an_empty_batch_changes_nothing():
    table = make(exchange="sums")
    before = table.numpy()
    optimizer = RowWiseAdagrad(0.1)
    optimizer.build([table])
    with tf.GradientTape() as tape:
        sums = table.weighted_sum(np.zeros((0, 3), "int32"), np.zeros((0, 3), "float32"))
        loss = tf.reduce_sum(sums)
    assert sums.shape == (0, WIDTH)
    optimizer.apply(tape.gradient(loss, [table]), [table])
    np.testing.assert_array_equal(table.numpy(), before)
