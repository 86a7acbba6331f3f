import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas
from row_twins import (
    TWINS,
    SlowRowWiseAdagrad,
    SlowRowWiseSGD,
    assert_same_state,
    batches,
    pooled_model,
    slices,
)

from lmn_tf.distribute.tables.placement import read_rows
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.optimizers import (
    GroupOptimizer,
    LossScaleOptimizer,
    RowWiseAdagrad,
    RowWiseAdam,
    RowWiseSGD,
    SparseAdagrad,
)
from lmn_tf.optimizers.row_optimizer import RowOptimizer

ALL = tuple(TWINS)
every_optimizer = pytest.mark.parametrize("optimizer_class", ALL)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 16, (64, 5)), rng.integers(0, 2, (64, 1)).astype("float32")


@every_optimizer
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("id_type", ["int32", "int64"])
def test_agrees_with_float64_row_by_row(optimizer_class, compiled, id_type):
    table, steps = batches(1)
    variable = keras.Variable(table, name="embeddings")
    optimizer, twin = optimizer_class(0.3), TWINS[optimizer_class](table, 0.3)
    optimizer.build([variable])

    def apply(gradient):
        optimizer.apply([gradient], [variable])

    apply = tf.function(apply) if compiled else apply
    for ids, parts in steps:
        apply(slices(ids.astype(id_type), parts, len(table)))
        twin.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)
    assert_same_state(optimizer, variable, twin)


@every_optimizer
def test_rows_that_were_not_read_keep_their_bits_and_their_state(optimizer_class):
    table, steps = batches(2)
    table[-1] = [-0.0, np.inf, np.nan, 1e-42]
    variable = keras.Variable(table, name="embeddings")
    optimizer = optimizer_class(0.3, weight_decay=0.1, global_clipnorm=1.0)
    optimizer.build([variable])
    before = {name: each.numpy() for name, each in optimizer.state_of(variable).items()}
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
    assert variable.numpy()[-4:].tobytes() == table[-4:].tobytes()
    for name, each in optimizer.state_of(variable).items():
        assert each.numpy()[-4:].tobytes() == before[name][-4:].tobytes()
    assert (variable.numpy()[:8] != table[:8]).all()


@every_optimizer
def test_sparse_and_dense_gradients_take_the_same_step(optimizer_class):
    table, steps = batches(3)
    table[-1] = [-0.0, np.inf, np.nan, 1.0]
    variables = [keras.Variable(table), keras.Variable(table)]
    optimizers = [optimizer_class(0.3, weight_decay=0.1) for _ in range(2)]
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        optimizers[0].apply([gradient], [variables[0]])
        optimizers[1].apply([tf.convert_to_tensor(gradient)], [variables[1]])
    got = [variable.numpy() for variable in variables]
    np.testing.assert_allclose(*got, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(variables[1].numpy()[-4:], table[-4:])


@every_optimizer
@pytest.mark.parametrize("frequency_rate", [False, True])
def test_a_row_whose_gradient_sums_to_zero_is_not_read(optimizer_class, frequency_rate):
    table, steps = batches(3)
    variable = keras.Variable(table)
    optimizer = optimizer_class(0.3, weight_decay=0.1, frequency_rate=frequency_rate)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
    before = [each.numpy() for each in (variable, *optimizer.variables[1:])]
    optimizer.apply([slices([3, 3], [[1.0] * 4, [-1.0] * 4], len(table))], [variable])
    after = [each.numpy() for each in (variable, *optimizer.variables[1:])]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@every_optimizer
def test_a_row_read_twice_counts_with_its_total(optimizer_class):
    first, second = keras.Variable(np.ones((2, 1))), keras.Variable(np.ones((2, 1)))
    optimizer_class(0.3).apply([slices([0, 0], [[1.0], [1.0]], 2)], [first])
    optimizer_class(0.3).apply([slices([0], [[2.0]], 2)], [second])
    np.testing.assert_array_equal(first.numpy(), second.numpy())


@every_optimizer
def test_rows_of_a_big_table_are_found_by_ids_of_64_bits(optimizer_class):
    rows = 2**17 + 3
    rng = np.random.default_rng(5)
    ids = np.concatenate([rng.integers(2**16, rows, 50), [rows - 1, 0, rows - 1, 2**16]])
    parts = rng.normal(size=(len(ids), 2))
    variable = keras.Variable(np.ones((rows, 2), "float32"))
    optimizer, twin = optimizer_class(0.3), TWINS[optimizer_class](np.ones((rows, 2)), 0.3)
    for _ in range(2):
        optimizer.apply([slices(ids.astype("int64"), parts, rows)], [variable])
        twin.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)


@every_optimizer
@pytest.mark.parametrize("clip", [None, "clipnorm", "global_clipnorm"])
def test_gradients_without_rows_change_nothing(optimizer_class, clip):
    variable = keras.Variable(np.ones((2, 3), "float32"))
    optimizer = optimizer_class(weight_decay=0.1, **({clip: 1.0} if clip else {}))
    empty = tf.IndexedSlices(tf.zeros((0, 3)), tf.zeros((0,), tf.int64), tf.constant([2, 3]))
    optimizer.apply([empty], [variable])
    np.testing.assert_array_equal(variable.numpy(), np.ones((2, 3)))


@every_optimizer
@pytest.mark.parametrize("shape", [(), (3,), (3, 2, 2)])
def test_any_rank_has_rows(optimizer_class, shape):
    variable = keras.Variable(np.ones(shape, "float32"))
    optimizer = optimizer_class(0.5)
    optimizer.apply([tf.fill(shape, 2.0)], [variable])
    assert all(tuple(each.shape)[:1] == shape[:1] for each in optimizer.state_of(variable).values())
    twin = TWINS[optimizer_class](np.ones((1, 1)), 0.5)
    twin.step([0], [[2.0]])
    np.testing.assert_allclose(variable.numpy(), np.full(shape, twin.table[0, 0]), rtol=1e-6)


@every_optimizer
def test_decays_the_rows_that_were_read(optimizer_class):
    table, steps = batches(6)
    variable = keras.Variable(table)
    optimizer = optimizer_class(0.3, weight_decay=0.2)
    twin = TWINS[optimizer_class](table, 0.3, weight_decay=0.2)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        twin.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer_class", [*ALL, RowWiseSGD])
@pytest.mark.parametrize("dense", [False, True])
def test_decays_rows_by_the_steps_since_they_were_read(optimizer_class, dense):
    table, steps = batches(6, steps=12, hits=3)
    table[-1] = [-0.0, np.inf, np.nan, 1.0]
    variable = keras.Variable(table)
    optimizer = optimizer_class(0.3, idle_decay=0.2)
    twin = {**TWINS, RowWiseSGD: SlowRowWiseSGD}[optimizer_class](table, 0.3, idle_decay=0.2)
    emptied = 0
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        optimizer.apply([tf.convert_to_tensor(gradient) if dense else gradient], [variable])
        idle = [twin.steps + 1 - twin.state[row]["last_read"] for row in set(ids.tolist())]
        emptied += sum(5 < steps <= twin.steps for steps in idle)
        twin.step(ids, parts)
    assert emptied  # some rows are away for longer than any of them lasts
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)
    assert_same_state(optimizer, variable, twin)
    np.testing.assert_array_equal(variable.numpy()[-4:], table[-4:])


@pytest.mark.parametrize("optimizer_class", [*ALL, RowWiseSGD])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("run_mode", ["eager", "xla"], indirect=True)
def test_trains_rows_slower_that_are_read_less(optimizer_class, dense, run_mode):
    table, steps = batches(6, steps=12, hits=4)
    table[-1] = [-0.0, np.inf, np.nan, 1.0]
    variable = keras.Variable(table)
    options = {"frequency_rate": True, "weight_decay": 0.2, "idle_decay": 0.1}
    optimizer = optimizer_class(0.3, **options)
    optimizer.build([variable])
    twin = {**TWINS, RowWiseSGD: SlowRowWiseSGD}[optimizer_class](table, 0.3, **options)
    apply = run_mode(lambda gradient: optimizer.apply([gradient], [variable]))
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        apply(tf.convert_to_tensor(gradient) if dense else gradient)
        twin.step(ids, parts)
    assert len(set(twin.counts)) > 3
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)
    assert_same_state(optimizer, variable, twin)
    np.testing.assert_array_equal(variable.numpy()[-4:], table[-4:])


@pytest.mark.parametrize("optimizer_class", [*ALL, RowWiseSGD])
def test_the_row_that_is_read_most_has_the_full_rate(optimizer_class):
    variables = [keras.Variable(np.ones((3, 2), "float32")) for _ in range(2)]
    optimizers = [optimizer_class(0.1), optimizer_class(0.1, frequency_rate=True)]
    for ids in ([0, 1], [1], [1], [2, 1], [2, 1]):
        for optimizer, variable in zip(optimizers, variables, strict=True):
            optimizer.apply([slices(ids, np.ones((len(ids), 2)), 3)], [variable])
    plain, slowed = (variable.numpy()[:, 0] for variable in variables)
    assert slowed[0] == plain[0]  # its only step was the first one
    assert slowed[1] == pytest.approx(plain[1], rel=1e-6)
    assert plain[2] < slowed[2] < 1.0
    plain, slowed = (
        optimizer.state_of(variable)
        for optimizer, variable in zip(optimizers, variables, strict=True)
    )
    assert slowed.keys() == {*plain, "reads", "most_reads"}
    assert slowed["reads"].numpy().tolist() == [1.0, 5.0, 2.0]
    assert float(slowed["most_reads"].numpy()) == 5.0


@every_optimizer
def test_counts_are_of_steps_that_loss_scaling_takes(optimizer_class):
    variable = keras.Variable(np.ones((3, 2), "float32"))
    inner = optimizer_class(0.1, frequency_rate=True)
    optimizer = LossScaleOptimizer(inner, initial_scale=8.0)
    for value in (1.0, np.inf, 1.0):
        optimizer.apply([slices([1], [[value, 1.0]], 3)], [variable])
    assert inner.state_of(variable)["reads"].numpy().tolist() == [0.0, 2.0, 0.0]
    assert float(inner.state_of(variable)["most_reads"].numpy()) == 2.0


@pytest.mark.parametrize("option", [{"idle_decay": 0.1}, {"frequency_rate": True}])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("sharded", [False, True])
def test_replicas_remember_rows_as_one(count, sharded, option):
    table, steps = batches(9, steps=8, hits=6)
    steps = [(np.r_[ids[:-1], 5].astype("int32"), parts) for ids, parts in steps]  # on one shard
    twin = SlowRowWiseAdagrad(table, 0.3, **option)
    strategy = replicas(count)
    with strategy.scope():
        initializer = lambda shape, dtype=None: tf.constant(table)  # noqa: E731
        make = ShardedTable if sharded else keras.Variable
        variable = make(shape=table.shape, initializer=initializer, name="embeddings")
        optimizer = RowWiseAdagrad(0.3, **option)
        optimizer.build([variable])

    @tf.function
    def step(ids, parts):
        def on_replica():
            index = tf.distribute.get_replica_context().replica_id_in_sync_group
            own = tf.reshape(tf.reshape(ids, [count, -1])[index], [-1])
            factors = tf.reshape(parts, [count, -1, 4])[index]
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(read_rows(variable, own) * factors)
            watched = variable if sharded else variable.value
            optimizer.apply([tape.gradient(loss, watched)], [variable])

        strategy.run(on_replica)

    for ids, parts in steps:
        step(tf.constant(ids), tf.constant(parts, tf.float32))
        twin.step(ids, parts)
    np.testing.assert_allclose(np.asarray(variable), twin.table, rtol=1e-4, atol=1e-5)
    state = optimizer.state_of(variable)
    for name in state.keys() & {"last_read", "reads"}:
        np.testing.assert_array_equal(state[name].numpy(), twin.remembered(name))
    if "frequency_rate" in option:
        most = [int(copy) for copy in state["most_reads"].value.values]
        assert most == [max(twin.counts)] * count and twin.counts.index(most[0]) == 5


@every_optimizer
def test_leaves_out_of_decay_what_it_is_told_to(optimizer_class):
    variables = [keras.Variable(np.ones((2, 2), "float32")) for _ in range(3)]
    gradient = slices([1], [[1.0, 2.0]], 2)
    optimizer = optimizer_class(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[variables[0]])
    optimizer.apply([gradient, gradient], variables[:2])
    optimizer_class(0.1).apply([gradient], [variables[2]])
    np.testing.assert_array_equal(variables[0].numpy(), variables[2].numpy())
    np.testing.assert_allclose(variables[1].numpy()[1], variables[2].numpy()[1] - 0.05, rtol=1e-6)


@every_optimizer
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_are_those_of_merged_rows(optimizer_class, clip):
    # The parts cancel but for (3, 4) in row 0, whose norm is 5; unmerged it would be far more.
    parts = [[9.0, -9.0], [-6.0, 13.0]]
    table = np.zeros((3, 2), "float32")
    variable = keras.Variable(table)
    optimizer = optimizer_class(0.1, **{clip: 1.0})
    optimizer.apply([slices([0, 0], parts, 3)], [variable])
    twin = TWINS[optimizer_class](table, 0.1)
    twin.step([0, 0], parts, scale=1 / 5)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-6)
    assert_same_state(optimizer, variable, twin)


@every_optimizer
def test_a_norm_below_the_limit_is_left_alone(optimizer_class):
    variables = [keras.Variable(np.zeros((3, 2), "float32")) for _ in range(2)]
    gradient = slices([0, 2], [[0.1, 0.2], [0.1, 0.3]], 3)
    optimizer_class(0.1, clipnorm=1.0).apply([gradient], [variables[0]])
    optimizer_class(0.1).apply([gradient], [variables[1]])
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


@every_optimizer
@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_broken_gradient_stays_visible(optimizer_class, broken, clip):
    variable = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = optimizer_class(weight_decay=0.1, clipnorm=clip)
    optimizer.apply([slices([1], [[broken, broken]], 3)], [variable])
    assert np.isnan(variable.numpy()[1]).all()
    np.testing.assert_array_equal(variable.numpy()[[0, 2]], 1.0)


@every_optimizer
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
@pytest.mark.parametrize("broken", [np.inf, np.nan])
def test_a_broken_norm_breaks_all_that_it_clips(optimizer_class, clip, broken):
    variable = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = optimizer_class(**{clip: 1.0})
    optimizer.apply([slices([0, 1], [[broken, 1.0], [1.0, 1.0]], 3)], [variable])
    assert np.isnan(variable.numpy()[:2]).all()
    np.testing.assert_array_equal(variable.numpy()[2], 1.0)


@every_optimizer
def test_follows_a_learning_rate_schedule(optimizer_class):
    table, steps = batches(4)
    variable = keras.Variable(table)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.4, 1, 0.5)
    optimizer = optimizer_class(schedule, weight_decay=0.1)
    twin = TWINS[optimizer_class](table, 0.4, weight_decay=0.1)
    for index, (ids, parts) in enumerate(steps):
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        twin.step(ids, parts, rate=0.4 * 0.5**index)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)


@every_optimizer
def test_update_step_merges_by_itself(optimizer_class):
    variables = [keras.Variable(np.ones((3, 2), "float32")) for _ in range(2)]
    gradient = slices([1, 1], [[1.0, 2.0], [3.0, 4.0]], 3)
    optimizers = [optimizer_class(0.1), optimizer_class(0.1)]
    optimizers[0].build([variables[0]])
    optimizers[0].update_step(gradient, variables[0], 0.1)
    optimizers[1].apply([gradient], [variables[1]])
    np.testing.assert_array_equal(*[variable.numpy() for variable in variables])


@every_optimizer
def test_accumulated_gradients_take_one_step_on_their_mean(optimizer_class):
    variables = [keras.Variable(np.ones((2, 1), "float32")) for _ in range(2)]
    optimizer = optimizer_class(0.1, gradient_accumulation_steps=2, clipnorm=1.0, weight_decay=0.5)
    for part in (1.0, 5.0):
        optimizer.apply([slices([1], [[part]], 2)], [variables[0]])
    optimizer_class(0.1, weight_decay=0.5).apply([slices([1], [[1.0]], 2)], [variables[1]])
    np.testing.assert_allclose(*[variable.numpy() for variable in variables], rtol=1e-6)


@every_optimizer
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_two_replicas_clip_accumulated_gradients_once(optimizer_class, clip):
    parts = np.float32([[[3, 0], [0, 4]], [[1, 5], [-4, 2]]])  # steps, replicas, rows

    def train(strategy, parts):
        with strategy.scope():
            table = keras.Variable(np.ones((2, 1), "float32"))
            options = {clip: 1.0, "gradient_accumulation_steps": len(parts)}
            # Much is added to what a gradient is divided by: the step follows its size.
            optimizer = optimizer_class(1.0, epsilon=10.0, **options)
            optimizer.build([table])

        def step(gradients):
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            optimizer.apply([tf.gather(gradients, replica)[:, tf.newaxis]], [table])

        for gradients in parts:
            strategy.run(step, args=(tf.constant(gradients),))
        return table.numpy()

    one = train(tf.distribute.get_strategy(), parts.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(train(replicas(2), parts), one, rtol=1e-6)


@every_optimizer
def test_moving_averages_follow_the_table(optimizer_class):
    variable = keras.Variable(np.ones((2, 1), "float32"))
    optimizer = optimizer_class(0.1, use_ema=True, ema_momentum=0.5)
    seen = []
    for _ in range(2):
        optimizer.apply([slices([1], [[1.0]], 2)], [variable])
        seen.append(variable.numpy())
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(variable.numpy(), (seen[0] + seen[1]) / 2, rtol=1e-6)


@every_optimizer
@pytest.mark.parametrize("kind", ["float64", "float16", "bfloat16"])
def test_tables_of_other_precisions_have_state_that_is_precise_enough(optimizer_class, kind):
    table, steps = batches(7)
    variable = keras.Variable(table, dtype=kind)
    optimizer, twin = optimizer_class(0.3), TWINS[optimizer_class](table, 0.3)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        twin.step(ids, parts)
    state = "float64" if kind == "float64" else "float32"
    assert {each.dtype for each in optimizer.state_of(variable).values()} == {state}
    assert keras.backend.standardize_dtype(variable.dtype) == kind
    error = {"float64": 1e-6, "float16": 5e-3, "bfloat16": 4e-2}[kind]
    np.testing.assert_allclose(
        np.asarray(variable.numpy(), "float64"), twin.table, rtol=error, atol=error
    )


@pytest.mark.quick_cases(1)
@every_optimizer
def test_config_and_state_survive_saving(optimizer_class, data, tmp_path):
    options = {"clipnorm": 2.0, "weight_decay": 0.01, "idle_decay": 0.02, "frequency_rate": True}
    model = pooled_model(optimizer_class(0.2, epsilon=1e-6, **options))
    model.fit(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is optimizer_class
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert len(loaded.optimizer.variables) > 2
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for each in (model, loaded):
        each.fit(*data, verbose=0, shuffle=False)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.quick_cases(1)
@every_optimizer
def test_state_is_in_tensorflow_checkpoints(optimizer_class, data, tmp_path):
    models = [pooled_model(optimizer_class(0.2, frequency_rate=True)) for _ in range(2)]
    models[0].fit(*data, verbose=0)
    path = tf.train.Checkpoint(optimizer=models[0].optimizer).write(str(tmp_path / "checkpoint"))
    models[1].optimizer.build(models[1].trainable_variables)
    tf.train.Checkpoint(optimizer=models[1].optimizer).read(path).assert_consumed()
    for one, other in zip(*[model.optimizer.variables for model in models], strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize(
    "optimizer_class",
    [ALL[0], *(pytest.param(one, marks=pytest.mark.slow) for one in ALL[1:])],
)
@pytest.mark.parametrize("clip", [pytest.param(None, marks=pytest.mark.slow), 0.01])
def test_two_replicas_train_as_one(optimizer_class, clip, data):
    def train(strategy):
        with strategy.scope():
            model = pooled_model(optimizer_class(0.1, global_clipnorm=clip, weight_decay=0.01))
        model.fit(*data, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    one = train(tf.distribute.get_strategy())
    two = train(replicas(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.quick_cases(1)
@every_optimizer
@pytest.mark.parametrize("kind", ["group", "multi"])
def test_trains_tables_beside_another_optimizer(optimizer_class, kind, data):
    def make():
        dense, tables = keras.optimizers.SGD(0.1), optimizer_class(0.1, global_clipnorm=0.01)
        return {"group": GroupOptimizer, "multi": multi_optimizer}[kind](dense, tables)

    model, alone = pooled_model(make()), pooled_model(make())
    before = model.get_weights()
    model.fit(*data, batch_size=16, shuffle=False, verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    np.testing.assert_array_equal(before[0][16:], model.get_weights()[0][16:])
    # The same, with each group stepped by its own optimizer alone.
    tables, dense = optimizer_class(0.1, global_clipnorm=0.01), keras.optimizers.SGD(0.1)
    table, rest = alone.trainable_variables[:1], alone.trainable_variables[1:]
    for at in range(0, 64, 16):
        with tf.GradientTape() as tape:
            loss = _loss(alone, data, at)
        grads = tape.gradient(loss, [variable.value for variable in table + rest])
        tables.apply(grads[:1], table)
        dense.apply(grads[1:], rest)
    for a, b in zip(model.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def multi_optimizer(dense, tables):
    """Keras' own optimizer of several."""
    chosen = keras.optimizers.OptimizerMap(dense, {"embedding.*/embeddings": tables})
    return keras.optimizers.MultiOptimizer(chosen)


def test_is_saved_within_an_optimizer_of_several(data, tmp_path):
    optimizer = multi_optimizer(keras.optimizers.Adam(0.1), RowWiseAdam(0.1))
    model = pooled_model(optimizer, jit_compile="auto")
    model.fit(*data, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(*data, verbose=0, shuffle=False)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def _loss(model, data, at):
    ids, labels = (part[at : at + 16] for part in data)
    logits = model(ids, training=True)
    return tf.reduce_mean(keras.losses.binary_crossentropy(labels, logits, from_logits=True))


@pytest.mark.quick_cases(1)
@every_optimizer
@pytest.mark.parametrize(
    "wrapper",
    [
        LossScaleOptimizer,
        pytest.param(keras.optimizers.LossScaleOptimizer, marks=pytest.mark.slow),
    ],
)
def test_trains_in_mixed_precision(optimizer_class, wrapper, data):
    model = pooled_model(wrapper(optimizer_class(0.1), initial_scale=8.0), dtype="mixed_float16")
    full = pooled_model(optimizer_class(0.1))
    before = model.get_weights()[0]
    for each in (model, full):
        each.fit(*data, batch_size=16, shuffle=False, verbose=0)
    after = model.get_weights()[0]
    np.testing.assert_array_equal(before[16:], after[16:])
    np.testing.assert_allclose(after, full.get_weights()[0], atol=0.05)
    assert (before[:16] != after[:16]).any(axis=1).all()


@every_optimizer
def test_the_step_names_no_tensor_of_the_table_s_size(optimizer_class):
    variable = keras.Variable(np.zeros((5003, 4), "float32"))
    options = {"weight_decay": 0.1, "idle_decay": 0.1, "frequency_rate": True}
    optimizer = optimizer_class(global_clipnorm=1.0, **options)
    optimizer.build([variable])
    step = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    graph = step.get_concrete_function(slices([1, 1, 3], np.ones((3, 4)), 5003)).graph
    sizes = {tuple(out.shape) for op in graph.get_operations() for out in op.outputs if out.shape}
    assert not any(5003 in size for size in sizes)


@every_optimizer
def test_bad_arguments_are_named(optimizer_class):
    for value in (0.0, None, "small"):
        with pytest.raises(ValueError, match="`epsilon` must be a number above zero. Received: e"):
            optimizer_class(epsilon=value)
    with pytest.raises(ValueError, match="`weight_decay` must be zero or more.*weight_decay=-0.1"):
        optimizer_class(weight_decay=-0.1)
    with pytest.raises(ValueError, match="`loss_scale_factor` must be left to .*factor=8.0"):
        optimizer_class(loss_scale_factor=8.0)
    with pytest.raises(ValueError, match="`idle_decay` must be zero or more.*idle_decay=-0.1"):
        optimizer_class(idle_decay=-0.1)
    with pytest.raises(ValueError, match="`frequency_rate` must be true or f.*frequency_rate=0.5"):
        optimizer_class(frequency_rate=0.5)


@pytest.mark.parametrize("optimizer_class", [RowWiseAdagrad, SparseAdagrad])
def test_accumulators_start_where_they_are_told(optimizer_class):
    variable = keras.Variable(np.ones((3, 2)))
    optimizer = optimizer_class(initial_accumulator_value=0.25)
    optimizer.build([variable])
    np.testing.assert_array_equal(optimizer.state_of(variable)["accumulator"].numpy(), 0.25)
    with pytest.raises(ValueError, match="`initial_accumulator_value` must be zero or more"):
        optimizer_class(initial_accumulator_value=-1.0)


def test_the_base_has_no_formula():
    base = RowOptimizer(0.1, 1e-8)
    with pytest.raises(NotImplementedError, match="state_shapes"):
        base.state_shapes((2, 3))
    with pytest.raises(NotImplementedError, match="step_rows"):
        base.step_rows(None, {}, 0.1)


def test_a_second_build_changes_nothing():
    variable = keras.Variable(np.ones((3, 2)))
    optimizer = RowWiseAdam()
    optimizer.build([variable])
    names = [each.path for each in optimizer.variables]
    optimizer.build([variable])
    assert [each.path for each in optimizer.variables] == names
