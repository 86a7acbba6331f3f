import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.optimizers import GroupOptimizer, RowWiseAdagrad, default, is_table


def make_model(optimizer):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), dtype="int32")
    pooled = keras.ops.mean(keras.layers.Embedding(20, 4, name="item")(inputs), 1)
    model = keras.Model(inputs, keras.layers.Dense(1)(pooled))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=False)  # the steps are few
    return model


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 20, (64, 5)), rng.integers(0, 2, (64, 1)).astype("float32")


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("embeddings", True),
        ("memory_values", True),
        ("item_embeddings", True),
        ("kernel", False),
        ("memory_row_keys", False),
    ],
)
def test_tables_are_known_by_name(name, want):
    variable = keras.Variable([[0.0]], name=name)
    assert is_table(variable) is want
    assert is_table(tf.Variable([[0.0]], name=name)) is want


def test_each_group_takes_its_own_optimizer(data):
    model = make_model(default())
    model.fit(*data, verbose=0)
    dense = [variable.path for variable in model.optimizer.dense.variables]
    assert any("kernel" in name for name in dense)
    assert not any("embeddings" in name for name in dense)
    tables = [variable.path for variable in model.optimizer.tables.variables]
    assert tables[-1] == "row_wise_adagrad/item_embeddings_accumulator"


def test_sparse_gradients_reach_stock_optimizers_merged():
    table = np.ones((3, 2), "float32")
    parts = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 1]), tf.constant([3, 2]))
    sparse, dense = keras.Variable(table, name="embeddings"), keras.Variable(table)
    optimizer = GroupOptimizer(keras.optimizers.SGD(), keras.optimizers.Adagrad(0.5))
    optimizer.apply([parts], [sparse])
    keras.optimizers.Adagrad(0.5).apply([tf.convert_to_tensor(parts)], [dense])
    np.testing.assert_allclose(sparse.numpy(), dense.numpy(), rtol=1e-6)


def test_groups_are_clipped_apart():
    table = keras.Variable([[0.0]], name="embeddings")
    kernel = keras.Variable([0.0], name="kernel")
    optimizer = GroupOptimizer(
        keras.optimizers.SGD(1.0, global_clipnorm=1.0),
        keras.optimizers.SGD(1.0, global_clipnorm=1.0),
    )
    optimizer.apply([tf.constant([[30.0]]), tf.constant([0.5])], [table, kernel])
    np.testing.assert_allclose([table.numpy()[0, 0], kernel.numpy()[0]], [-1.0, -0.5])


def test_a_named_table_has_an_optimizer_of_its_own():
    variables = [keras.Variable([[1.0]], name="embeddings") for _ in range(2)]
    with keras.name_scope("item"):
        variables.append(keras.Variable([[1.0]], name="embeddings"))
    optimizer = GroupOptimizer(
        keras.optimizers.Adam(), RowWiseAdagrad(0.5), named={"item": keras.optimizers.SGD(0.25)}
    )
    optimizer.apply([tf.constant([[1.0]])] * 3, variables)
    np.testing.assert_allclose([float(v.numpy()[0, 0]) for v in variables], [0.5, 0.5, 0.75])


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("item/embeddings", "item"),
        ("feature_encoder/item/embeddings", "encoder"),
        ("other/feature_encoder/item/embeddings", "encoder"),
        ("other_encoder/item/embeddings", "item"),
        ("item/title/embeddings", "tables"),
        ("my_item/embeddings", "tables"),
        ("item_1/embeddings", "tables"),
        ("memory/memory_values", "tables"),
        ("clicks_memory/memory/memory_values", "memory"),
        ("embeddings", "tables"),
        ("item/kernel", "dense"),
    ],
)
def test_a_name_is_that_of_the_layer_which_holds_the_table(path, want):
    optimizers = {name: keras.optimizers.SGD() for name in ("dense", "tables", "item")}
    optimizers |= {name: keras.optimizers.SGD() for name in ("encoder", "memory")}
    optimizer = GroupOptimizer(
        optimizers["dense"],
        optimizers["tables"],
        named={
            "item": optimizers["item"],
            "feature_encoder/item": optimizers["encoder"],
            "clicks_memory/memory": optimizers["memory"],
        },
    )
    *layers, name = path.split("/")
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(keras.name_scope(layer))
        variable = keras.Variable([[1.0]], name=name)
    optimizer.build([variable])
    [chosen] = [one for one in optimizer.optimizers if one.built]
    assert chosen is optimizers[want]


def test_the_learning_rate_is_that_of_the_dense_group(data):
    optimizer = default(dense=0.01, tables=0.1)
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    optimizer.learning_rate = 0.02
    assert float(optimizer.dense.learning_rate) == pytest.approx(0.02)
    assert float(optimizer.tables.learning_rate) == pytest.approx(0.1)
    model = make_model(optimizer)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(*data, verbose=0, callbacks=[scheduler]).history
    assert history[f"learning_rate_{optimizer.dense.name}"] == [pytest.approx(0.01)]
    assert history["learning_rate_row_wise_adagrad"] == [pytest.approx(0.05)]


def test_training_goes_on_after_loading_as_if_it_had_not_stopped(data, tmp_path):
    model = make_model(default(clip_norm=1.0))
    model.fit(*data, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, GroupOptimizer)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for each in (model, loaded):
        each.fit(*data, verbose=0, shuffle=False)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_named_optimizers_survive_the_config():
    optimizer = GroupOptimizer(
        keras.optimizers.Adam(), RowWiseAdagrad(), named={"item": RowWiseAdagrad(0.7)}
    )
    again = GroupOptimizer.from_config(optimizer.get_config())
    assert float(again.named["item"].learning_rate) == pytest.approx(0.7)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.slow
def test_two_replicas_train_as_one(data):
    def train(strategy):
        with strategy.scope():
            model = make_model(default(clip_norm=0.05))  # of the sum over replicas
        model.fit(*data, batch_size=16, epochs=2, shuffle=False, verbose=0)
        return model.get_weights()

    one = train(tf.distribute.get_strategy())
    two = train(replicas(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("factor", [None, 8.0])
@pytest.mark.parametrize(
    ("gradient", "step"), [([1.5, 2.0], [0.6, 0.8]), ([0.15, 0.2], [0.3, 0.4])]
)
def test_replicas_clip_the_unscaled_sum_of_their_gradients_once(factor, gradient, step):
    strategy = replicas(2)
    with strategy.scope():
        kernel = keras.Variable(np.zeros(2, "float32"), name="kernel")
        dense = keras.optimizers.SGD(1.0, clipnorm=1.0)
        optimizer = GroupOptimizer(dense, keras.optimizers.SGD(1.0), loss_scale_factor=factor)
        optimizer.build([kernel])
    gradient = (factor or 1.0) * tf.constant(gradient)

    @tf.function
    def apply():
        strategy.run(lambda: optimizer.apply_gradients([(gradient, kernel)]))

    apply()
    for on_replica in kernel.value.values:  # the sums are as long as 5 and a half
        np.testing.assert_allclose(on_replica, -np.array(step), rtol=1e-6)


@pytest.mark.parametrize("clip", [{}, {"global_clipnorm": 1e9}, {"clipnorm": 1e9}])
def test_clipping_leaves_the_rows_of_replicas_whole(clip):
    strategy = replicas(2)
    with strategy.scope():
        table = keras.Variable(np.zeros((5, 2), "float32"), name="embeddings")
        tables = keras.optimizers.Adam(0.1, **clip)
        optimizer = GroupOptimizer(keras.optimizers.SGD(), tables)
        optimizer.build([table])

    def step():
        # One replica reads rows 1 and 2, the other one rows 3 and 4.
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = 2 * replica + tf.constant([1, 2])
        values = tf.cast(rows[:, None], tf.float32) * tf.ones([1, 2])
        optimizer.apply([tf.IndexedSlices(values, rows, tf.constant([5, 2]))], [table])

    tf.function(lambda: strategy.run(step))()
    [moment] = [slot for slot in tables.variables if slot.path.endswith("velocity")]
    for on_replica in moment.value.values:
        want = 0.001 * np.arange(5.0)[:, None] ** 2 * np.ones(2)
        np.testing.assert_allclose(on_replica, want, rtol=1e-5)


@pytest.mark.parametrize("tables", [RowWiseAdagrad, keras.optimizers.Adagrad])
def test_a_factor_of_the_loss_changes_nothing(tables):
    results = []
    for factor in (None, 8.0):
        table = keras.Variable(np.ones((3, 2), "float32"), name="embeddings")
        kernel = keras.Variable(np.ones(2, "float32"), name="kernel")
        optimizer = GroupOptimizer(
            keras.optimizers.Adagrad(0.5), tables(0.5), loss_scale_factor=factor
        )
        optimizer.loss_scale_factor = factor
        with tf.GradientTape() as tape:
            rows = tf.gather(table.value, [1, 1])
            loss = tf.reduce_sum(rows * rows) + tf.reduce_sum(kernel.value**3)
            scaled = optimizer.scale_loss(loss)
        assert float(scaled) == (factor or 1.0) * float(loss)
        gradients = tape.gradient(scaled, [table.value, kernel.value])
        assert isinstance(gradients[0], tf.IndexedSlices)
        optimizer.apply(gradients, [table, kernel])
        assert optimizer.get_config()["loss_scale_factor"] == factor
        results.append([table.numpy(), kernel.numpy()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_group_has_no_factor_of_its_own():
    scaled = keras.optimizers.SGD(loss_scale_factor=8.0, name="sgd")
    message = "`loss_scale_factor` must be given to `Gr.*Received: sgd.loss_scale_factor=8.0"
    with pytest.raises(ValueError, match=message):
        GroupOptimizer(keras.optimizers.Adam(), scaled)


def test_gradients_without_variables_need_a_built_optimizer():
    with pytest.raises(ValueError, match="must already be built"):
        default().apply([tf.ones((1,))])
