import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.optimizers import RowWiseAdagrad


class SlowAdagrad:
    """Row-wise Adagrad in float64, row by row: slow and obvious."""

    def __init__(self, table, rate, start=0.0, epsilon=1e-8):
        self.table = np.array(table, np.float64)
        self.sums = np.full(len(table), start, np.float64)
        self.rate, self.epsilon = rate, epsilon

    def step(self, ids, parts, rate=None, scale=1.0):
        for row in sorted(set(np.asarray(ids).tolist())):
            gradient = scale * np.sum(np.asarray(parts, np.float64)[np.asarray(ids) == row], axis=0)
            self.sums[row] += np.mean(gradient**2)
            root = np.sqrt(self.sums[row]) + self.epsilon
            self.table[row] -= (rate or self.rate) * gradient / root


def slices(ids, parts, rows):
    parts = np.asarray(parts, "float32")
    return tf.IndexedSlices(
        tf.constant(parts), tf.constant(ids), tf.constant([rows, *parts.shape[1:]])
    )


def batches(seed, rows=12, width=4, steps=5, hits=9):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype("float32")
    steps = [
        (rng.integers(0, rows - 4, hits).astype("int32"), rng.normal(size=(hits, width)))
        for _ in range(steps)
    ]
    return table, steps


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_agrees_with_float64_row_by_row(compiled, start):
    table, steps = batches(1)
    variable = keras.Variable(table, name="embeddings")
    optimizer = RowWiseAdagrad(0.3, initial_accumulator_value=start)
    optimizer.build([variable])
    slow = SlowAdagrad(table, 0.3, start)

    def apply(gradient):
        optimizer.apply([gradient], [variable])

    apply = tf.function(apply) if compiled else apply
    for ids, parts in steps:
        apply(slices(ids, parts, len(table)))
        slow.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), slow.table, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optimizer._accumulators[0].numpy(), slow.sums, rtol=1e-5)


def test_rows_that_were_not_read_keep_their_bits():
    table, steps = batches(2)
    variable = keras.Variable(table, name="embeddings")
    optimizer = RowWiseAdagrad(0.3, initial_accumulator_value=0.1)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
    assert variable.numpy()[-4:].tobytes() == table[-4:].tobytes()
    np.testing.assert_array_equal(optimizer._accumulators[0].numpy()[-4:], np.float32(0.1))
    assert (variable.numpy()[:8] != table[:8]).all()


def test_sparse_and_dense_gradients_take_the_same_step():
    table, steps = batches(3)
    variables = [keras.Variable(table), keras.Variable(table)]
    optimizers = [RowWiseAdagrad(0.3), RowWiseAdagrad(0.3)]
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        optimizers[0].apply([gradient], [variables[0]])
        optimizers[1].apply([tf.convert_to_tensor(gradient)], [variables[1]])
    np.testing.assert_allclose(*[variable.numpy() for variable in variables], rtol=1e-5)


def test_a_row_read_twice_counts_with_its_total():
    first, second = keras.Variable(np.ones((2, 1))), keras.Variable(np.ones((2, 1)))
    RowWiseAdagrad(0.3, 0.1).apply([slices([0, 0], [[1.0], [1.0]], 2)], [first])
    RowWiseAdagrad(0.3, 0.1).apply([slices([0], [[2.0]], 2)], [second])
    np.testing.assert_array_equal(first.numpy(), second.numpy())


@pytest.mark.parametrize("shape", [(), (3,), (3, 2, 2)])
def test_any_rank_has_one_accumulator_a_row(shape):
    variable = keras.Variable(np.ones(shape, "float32"))
    optimizer = RowWiseAdagrad(0.5)
    optimizer.apply([tf.fill(shape, 2.0)], [variable])
    assert optimizer._accumulators[0].shape == shape[:1]
    np.testing.assert_allclose(variable.numpy(), np.full(shape, 0.5), rtol=1e-6)


def test_gradients_without_rows_change_nothing():
    variable = keras.Variable(np.ones((2, 3), "float32"))
    empty = tf.IndexedSlices(tf.zeros((0, 3)), tf.zeros((0,), tf.int64), tf.constant([2, 3]))
    RowWiseAdagrad().apply([empty], [variable])
    np.testing.assert_array_equal(variable.numpy(), np.ones((2, 3)))


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_are_those_of_merged_rows(clip):
    table = np.zeros((3, 2), "float32")
    # The parts cancel but for (3, 4) in row 0, whose norm is 5; unmerged it would be far more.
    parts = [[9.0, -9.0], [-6.0, 13.0]]
    variable = keras.Variable(table)
    optimizer = RowWiseAdagrad(0.1, 1.0, **{clip: 1.0})
    optimizer.apply([slices([0, 0], parts, 3)], [variable])
    slow = SlowAdagrad(table, 0.1, 1.0)
    slow.step([0, 0], parts, scale=1 / 5)
    np.testing.assert_allclose(variable.numpy(), slow.table, rtol=1e-6)


def test_a_norm_below_the_limit_is_left_alone():
    variables = [keras.Variable(np.zeros((3, 2), "float32")) for _ in range(2)]
    gradient = slices([0, 2], [[0.1, 0.2], [0.1, 0.3]], 3)
    RowWiseAdagrad(0.1, 1.0, clipnorm=1.0).apply([gradient], [variables[0]])
    RowWiseAdagrad(0.1, 1.0).apply([gradient], [variables[1]])
    np.testing.assert_array_equal(*[variable.numpy() for variable in variables])


def test_the_global_norm_counts_all_variables_and_clipvalue_each_element():
    variables = [keras.Variable(np.zeros((2, 1), "float32")) for _ in range(2)]
    gradients = [slices([1], [[3.0]], 2), tf.constant([[0.0], [4.0]])]
    RowWiseAdagrad(1.0, 1.0, global_clipnorm=1.0).apply(gradients, variables)
    want = [0.6 / np.sqrt(1.36), 0.8 / np.sqrt(1.64)]
    got = [-float(variable.numpy()[1, 0]) for variable in variables]
    np.testing.assert_allclose(got, want, rtol=1e-6)

    variable = keras.Variable(np.zeros((2, 1), "float32"))
    RowWiseAdagrad(1.0, 1.0, clipvalue=0.5).apply([slices([1, 1], [[3.0], [4.0]], 2)], [variable])
    np.testing.assert_allclose(variable.numpy()[1], -0.5 / np.sqrt(1.25), rtol=1e-6)


def test_follows_a_learning_rate_schedule():
    table, steps = batches(4)
    variable = keras.Variable(table)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.4, 1, 0.5)
    optimizer, slow = RowWiseAdagrad(schedule), SlowAdagrad(table, 0.4)
    for index, (ids, parts) in enumerate(steps):
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        slow.step(ids, parts, rate=0.4 * 0.5**index)
    np.testing.assert_allclose(variable.numpy(), slow.table, rtol=1e-5, atol=1e-6)


def test_update_step_merges_by_itself():
    variables = [keras.Variable(np.ones((3, 2), "float32")) for _ in range(2)]
    gradient = slices([1, 1], [[1.0, 2.0], [3.0, 4.0]], 3)
    optimizers = [RowWiseAdagrad(0.1), RowWiseAdagrad(0.1)]
    optimizers[0].build([variables[0]])
    optimizers[0].update_step(gradient, variables[0], 0.1)
    optimizers[1].apply([gradient], [variables[1]])
    np.testing.assert_array_equal(*[variable.numpy() for variable in variables])


def test_accumulated_gradients_take_one_step_on_their_mean():
    variables = [keras.Variable(np.ones((2, 1), "float32")) for _ in range(2)]
    optimizer = RowWiseAdagrad(0.1, 1.0, gradient_accumulation_steps=2, clipnorm=1.0)
    for part in (1.0, 5.0):
        optimizer.apply([tf.constant([[0.0], [part]])], [variables[0]])
    RowWiseAdagrad(0.1, 1.0).apply([slices([1], [[1.0]], 2)], [variables[1]])
    np.testing.assert_allclose(*[variable.numpy() for variable in variables], rtol=1e-6)


def test_config_and_state_survive_saving(tmp_path):
    inputs = keras.Input((3,), dtype="int32")
    pooled = keras.ops.mean(keras.layers.Embedding(20, 4)(inputs), 1)
    model = keras.Model(inputs, keras.layers.Dense(1)(pooled))
    model.compile(optimizer=RowWiseAdagrad(0.2, 0.01, 1e-6, clipnorm=2.0), loss="mse")
    ids = np.random.default_rng(0).integers(0, 20, (32, 3))
    model.fit(ids, np.ones((32, 1)), verbose=0)
    model.save(tmp_path / "model.keras")

    loaded = keras.models.load_model(tmp_path / "model.keras")

    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for each in (model, loaded):
        each.fit(ids, np.ones((32, 1)), verbose=0, shuffle=False)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("clip", [None, 0.01])
def test_two_replicas_train_as_one(clip):
    ids = np.random.default_rng(0).integers(0, 20, (64, 5))
    labels = np.random.default_rng(1).integers(0, 2, (64, 1)).astype("float32")

    def train(strategy):
        keras.utils.set_random_seed(0)
        with strategy.scope():
            inputs = keras.Input((5,), dtype="int32")
            pooled = keras.ops.mean(keras.layers.Embedding(20, 4)(inputs), 1)
            model = keras.Model(inputs, keras.layers.Dense(1)(pooled))
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
            model.compile(optimizer=RowWiseAdagrad(0.1, global_clipnorm=clip), loss=loss)
        model.fit(ids, labels, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    one = train(tf.distribute.get_strategy())
    two = train(replicas(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_step_names_no_tensor_of_the_table_s_size():
    variable = keras.Variable(np.zeros((5003, 4), "float32"))
    optimizer = RowWiseAdagrad(global_clipnorm=1.0)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(slices([1, 1, 3], np.ones((3, 4)), 5003)).graph
    sizes = {tuple(out.shape) for op in graph.get_operations() for out in op.outputs if out.shape}
    assert not any(5003 in size for size in sizes)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`epsilon` must be above zero. Received: epsilon=0"):
        RowWiseAdagrad(epsilon=0.0)
    with pytest.raises(ValueError, match="`initial_accumulator_value` must be zero or more"):
        RowWiseAdagrad(initial_accumulator_value=-1.0)
    with pytest.raises(ValueError, match="`weight_decay` must be None.*weight_decay=0.1"):
        RowWiseAdagrad(weight_decay=0.1)
