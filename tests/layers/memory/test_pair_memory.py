import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.layers import PairMemory
from lmn_tf.ops import Windows
from lmn_tf.optimizers import RowWiseSGD

NUM_ROWS, NUM_COLUMNS = 12, 7
MASK = np.arange(6) < np.array([[0], [1], [4], [6]])
COLUMNS = np.array([2, 6, 1, 5])


def example(seed=0):
    return np.random.default_rng(seed).integers(0, NUM_ROWS, (4, 6))


def filled(**options):
    """A memory whose values are the numbers of the slots, from 1."""
    memory = PairMemory(NUM_ROWS, NUM_COLUMNS, **options)
    memory.build()
    values = np.arange(1.0, memory.memory_size * memory.num_values + 1)
    memory.memory_values.assign(values.reshape(memory.memory_size, -1))
    return memory


def looked_up(memory, rows, columns, mask):
    """The result, one pair after another."""
    table, slots = memory.get_weights()[0], memory.memory_size
    read = np.zeros((len(rows), 4, table.shape[1]))
    for row, (ids, column) in enumerate(zip(rows, columns, strict=True)):
        count = mask[row].sum()
        for place, event in enumerate(ids[mask[row]]):
            if event < 2 or column < 2:
                continue
            pair = int(event) * memory.num_columns + int(column)
            if slots < memory.num_rows * memory.num_columns:
                pair = (pair * 0x9E3779B97F4A7C15 % 2**64 >> 32) % 2**31 % slots
            value = table[pair]
            read[row, 0] += value
            read[row, 1] += value / (count - place)  # 1 for the newest
            read[row, 2] = np.maximum(read[row, 2], value)
            read[row, 3] = np.minimum(read[row, 3], value)
        power = {"sum": 0.0, "mean": 1.0, "sqrtn": 0.5}[memory.pooling]
        read[row, 0] /= max(count, 1) ** power
    return read if memory.readings == "several" else read[:, 0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_slots": 10},
        {"num_values": 3, "pooling": "sqrtn"},
        {"pooling": "mean"},
        {"num_values": 2, "pooling": "sqrtn", "readings": "several"},
    ],
    ids=str,
)
def test_sums_the_values_of_pairs(run_mode, options):
    memory = filled(**options)
    if "readings" in options:  # of both signs
        memory.memory_values.assign(np.random.default_rng(1).normal(0, 5, (84, 2)))
    output = run_mode(lambda rows: memory(rows, COLUMNS, mask=MASK))(tf.constant(example()))
    want = looked_up(memory, example(), COLUMNS, MASK)
    assert np.abs(want).max() > 1
    np.testing.assert_allclose(output, want, rtol=1e-5)


def test_a_new_memory_adds_nothing_and_learns_only_the_pairs_of_the_batch():
    memory, rows = PairMemory(NUM_ROWS, NUM_COLUMNS), example()
    with tf.GradientTape() as tape:
        output = memory(rows, COLUMNS, mask=MASK)
        loss = tf.reduce_sum(output * [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(output, np.zeros((4, 1)))
    gradient = tape.gradient(loss, memory.memory_values.value)
    assert isinstance(gradient, tf.IndexedSlices)
    want = np.zeros((NUM_ROWS, NUM_COLUMNS))
    for row, column in enumerate(COLUMNS):
        for event in rows[row][MASK[row]]:
            if event >= 2 and column >= 2:
                want[event, column] += row + 1
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), want.reshape(-1, 1))


def test_one_hot_ids_are_a_product_of_histograms():
    """`a^T V b` with the counts `a` of the events and the one-hot vector `b` of the candidate."""
    memory, rows = filled(), np.clip(example(), 2, None)
    table = memory.get_weights()[0].reshape(NUM_ROWS, NUM_COLUMNS)
    counts = np.stack([np.bincount(ids[m], minlength=NUM_ROWS) for ids, m in zip(rows, MASK)])  # noqa: B905
    columns = np.clip(COLUMNS, 2, None)
    want = (counts @ table)[np.arange(4), columns]
    np.testing.assert_allclose(memory(rows, columns, mask=MASK)[:, 0], want, rtol=1e-6)


def test_several_readings_have_gradients():
    memory = filled(readings="several", pooling="sqrtn")
    memory.memory_values.assign(np.random.default_rng(1).normal(size=(84, 1)))
    weights = np.array([[1.0], [2.0], [4.0], [8.0]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(memory(example(), COLUMNS, mask=MASK) * weights)
    gradient = tf.convert_to_tensor(tape.gradient(loss, memory.memory_values.value)).numpy()
    table = memory.get_weights()[0]

    def loss_of(change):
        memory.memory_values.assign(table + change)
        return np.sum(looked_up(memory, example(), COLUMNS, MASK) * weights)

    for slot in range(84):
        step = 1e-3 * (np.arange(84) == slot)[:, None]
        want = (loss_of(step) - loss_of(-step)) / 2e-3
        assert gradient[slot, 0] == pytest.approx(want, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("readings", ["one", "several"])
def test_rows_share_events(readings):
    memory, events = filled(readings=readings), np.array([3, 8, 4, 9, 2])
    windows = Windows([0, 1, 3, 5], [2, 2, 2, 0], num_events=5)
    columns = np.array([2, 6, 5, 4])
    padded = np.array([[3, 8], [8, 4], [9, 2], [0, 0]])
    output = memory(events, columns, windows=windows)
    want = memory(padded, columns, mask=np.array([[1, 1], [1, 1], [1, 1], [0, 0]], bool))
    np.testing.assert_allclose(output, want, rtol=1e-6)
    np.testing.assert_array_equal(output[3], np.zeros(output.shape[1:]))


@pytest.mark.parametrize("readings", ["one", "several"])
def test_padding_changes_nothing(readings):
    memory = filled(readings=readings)
    want = memory(example(), COLUMNS, mask=MASK)
    dirty = np.where(MASK, example(), NUM_ROWS - 1)
    np.testing.assert_array_equal(memory(dirty, COLUMNS, mask=MASK), want)
    longer = np.pad(example(), ((0, 0), (2, 0))), np.pad(MASK, ((0, 0), (2, 0)))
    np.testing.assert_allclose(memory(longer[0], COLUMNS, mask=longer[1]), want, rtol=1e-6)
    if readings == "one":  # without a mask, padding is an event that is newer than others
        zeros = np.where(MASK, example(), 0)
        np.testing.assert_allclose(memory(zeros, COLUMNS), want, rtol=1e-6)


@pytest.mark.parametrize("num_slots", [None, 10])
def test_reads_are_those_of_known_pairs(run_mode, num_slots):
    memory, rows = filled(num_slots=num_slots), example()

    def read(rows):
        told = []
        with memory.watched(lambda *one: told.append(one)):
            memory(rows, COLUMNS, mask=MASK)
        [(reading, counts)] = told
        return reading.slots, reading.weights, counts

    slots, weights, counts = (part.numpy() for part in run_mode(read)(tf.constant(rows)))
    got = np.bincount(slots[:, 0, 0], counts * weights[:, 0, 0], memory.memory_size)
    want = np.zeros(memory.memory_size)
    for row, column in enumerate(COLUMNS):
        for event in rows[row][MASK[row]]:
            if event >= 2 and column >= 2:
                want[memory.slots(event, column)] += 1
    assert want.sum() > 3
    np.testing.assert_array_equal(got, want)


def test_few_slots_are_all_used_and_pairs_stay_apart():
    memory = PairMemory(200, 50, num_slots=64)
    rows, columns = np.divmod(np.arange(10_000), 50)
    counts = np.bincount(memory.slots(rows, columns), minlength=64)
    assert counts.min() > 100 and counts.max() < 220 and len(counts) == 64


def test_more_slots_than_pairs_are_not_made():
    assert PairMemory(NUM_ROWS, NUM_COLUMNS, num_slots=10**9).memory_size == 84


def test_config_and_saving(tmp_path):
    options = {"num_slots": 20, "num_values": 2, "pooling": "mean", "readings": "several"}
    memory = filled(**options, memory_placement="row_wise")
    config = json.loads(json.dumps(memory.get_config()))
    assert PairMemory.from_config(config).get_config() == memory.get_config()
    inputs = keras.Input((None,), dtype="int32"), keras.Input((), dtype="int32")
    model = keras.Model(inputs, memory(*inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    data = [example(), COLUMNS]
    np.testing.assert_array_equal(loaded(data), model(data))
    assert model.output_shape == (None, 4, 2) and loaded(data).shape == (4, 4, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stores_whole_values(policy):
    memory = filled(dtype=policy)
    output = memory(example(), COLUMNS, mask=MASK)
    assert output.dtype == memory.compute_dtype and memory.memory_values.dtype == "float32"
    want = looked_up(memory, example(), COLUMNS, MASK)
    np.testing.assert_allclose(tf.cast(output, "float32"), want, rtol=0.01)


@pytest.mark.parametrize("placement", ["replicated", "row_wise"])
def test_two_replicas_learn_what_one_device_does(placement):
    def trained(strategy):
        with strategy.scope():
            memory = PairMemory(NUM_ROWS, NUM_COLUMNS, memory_placement=placement)
            inputs = keras.Input((6,), dtype="int32"), keras.Input((), dtype="int32")
            model = keras.Model(inputs, memory(*inputs))
            model.compile(RowWiseSGD(0.5), "mse")
        batch = (np.clip(example(), 2, None), COLUMNS), np.ones((4, 1), "float32")
        dataset = tf.data.Dataset.from_tensors(batch).unbatch().batch(4)
        model.fit(dataset, epochs=2, shuffle=False, verbose=0)
        return memory.get_weights()[0]

    one, two = trained(tf.distribute.get_strategy()), trained(replicas(2))
    assert np.abs(one).max() > 0.1
    np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_rows": 0}, "`num_rows` must be a positive integer. Received: num_rows=0"),
        ({"num_columns": -1}, "`num_columns` must be a positive integer. Received: num_columns=-1"),
        ({"num_slots": 0}, "`num_slots` must be a positive integer. Received: num_slots=0"),
        ({"num_values": 1.5}, "`num_values` must be a positive integer. Received: num_values=1.5"),
        ({"pooling": "max"}, "`pooling` must be one of 'sum', 'mean', 'sqrtn'. Received: pooling="),
        ({"readings": 4}, "`readings` must be one of 'one', 'several'. Received: readings=4"),
        ({"memory_placement": "x"}, "`memory_placement` must be one of 'replicated', 'row_wise'."),
    ],
)
def test_arguments_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        PairMemory(**{"num_rows": 3, "num_columns": 3, **changes})


def test_rows_have_two_axes():
    with pytest.raises(ValueError, match=r"`rows` must have shape \(batch, length\). Received: "):
        PairMemory(3, 3)(np.ones((2, 3, 4), int), np.ones(2, int))
