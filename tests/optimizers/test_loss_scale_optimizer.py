import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.optimizers import GroupOptimizer, LossScaleOptimizer, default
from lmn_tf.optimizers.loss_scale_optimizer import with_loss_scaling


def gradient(value):
    parts = tf.constant([[value, 1.0]])
    return tf.IndexedSlices(parts, tf.constant([1]), tf.constant([5003, 2]))


def test_an_infinite_part_skips_the_step_and_halves_the_scale():
    variable = keras.Variable(np.ones((5003, 2), "float32"), name="embeddings")
    optimizer = LossScaleOptimizer(default(), initial_scale=8.0)
    optimizer.apply([gradient(np.inf)], [variable])
    np.testing.assert_array_equal(variable.numpy(), np.ones((5003, 2)))
    assert float(optimizer.dynamic_scale) == 4.0
    optimizer.apply([gradient(1.0)], [variable])
    assert (variable.numpy()[1] < 1.0).all()


def test_the_check_unfolds_no_table():
    optimizer = LossScaleOptimizer(default())
    check = tf.function(lambda: optimizer.check_finite([gradient(1.0), None]))
    operations = check.get_concrete_function().graph.get_operations()
    assert not any(5003 in tuple(out.shape) for op in operations for out in op.outputs if out.shape)
    assert bool(check())


def two_replicas(**arguments):
    """A step that takes one number a replica, what it trains, and the optimizer."""
    strategy = replicas(2)
    with strategy.scope():
        table = keras.Variable(np.ones((3, 2), "float32"), name="embeddings")
        kernel = keras.Variable(np.float32([1.0, 2.0]), name="kernel")
        inner = GroupOptimizer(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25))
        optimizer = LossScaleOptimizer(inner, **arguments)
        optimizer.build([table, kernel])

    def on_replica(number):
        scale = tf.convert_to_tensor(optimizer.dynamic_scale)
        # Each replica reads a row of its own, and both read the last one.
        row = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = tf.stack([row, 2])
        slices = tf.IndexedSlices(scale * number * tf.ones([2, 2]), rows, tf.constant([3, 2]))
        gradients = [slices, scale * number * tf.constant([1.0, -1.0])]
        optimizer.apply_gradients(zip(gradients, [table, kernel], strict=True))

    @tf.function
    def step(numbers):
        strategy.run(on_replica, args=(numbers,))

    def run(*numbers):
        step(
            strategy.experimental_distribute_values_from_function(
                lambda context: tf.constant(numbers[context.replica_id_in_sync_group])
            )
        )

    return run, (table, kernel), optimizer


def values_of(variables):
    """The variables of every replica."""
    return [[one.numpy() for one in variable.value.values] for variable in variables]


def test_replicas_step_by_the_sum_of_what_they_scaled():
    # Powers of two: every number here is exact.
    run, variables, optimizer = two_replicas(initial_scale=8.0, dynamic_growth_steps=2)
    for step, scale in enumerate((8.0, 16.0, 16.0, 32.0), start=1):
        run(0.5, 0.25)
        assert float(tf.convert_to_tensor(optimizer.dynamic_scale)) == scale
        rows = 1 - 0.25 * step * np.float32([[0.5], [0.25], [0.75]]) * np.ones((3, 2))
        kernel = np.float32([1.0, 2.0]) - 0.5 * step * 0.75 * np.float32([1.0, -1.0])
        for found, want in zip(values_of(variables), (rows, kernel), strict=True):
            for on_replica in found:
                np.testing.assert_array_equal(on_replica, want)


@pytest.mark.parametrize("numbers", [(np.inf, 0.5), (0.5, np.nan), (-np.inf, np.inf)])
def test_an_overflow_on_any_replica_skips_the_step_on_all(numbers):
    run, variables, optimizer = two_replicas(initial_scale=8.0)
    before = values_of(variables)
    run(*numbers)
    np.testing.assert_equal(values_of(variables), before)
    assert float(tf.convert_to_tensor(optimizer.dynamic_scale)) == 4.0
    assert int(tf.convert_to_tensor(optimizer.step_counter)) == 0
    run(0.5, 0.5)
    for on_replica in values_of(variables)[1]:
        np.testing.assert_array_equal(on_replica, [0.5, 2.5])
    assert float(tf.convert_to_tensor(optimizer.dynamic_scale)) == 4.0


@pytest.mark.parametrize("count", [1, 2])
def test_trains_and_saves_in_mixed_precision(count, tmp_path):
    with replicas(count).scope():
        policy = keras.DTypePolicy("mixed_float16")
        inputs = keras.Input((5,), dtype="int32")
        pooled = keras.ops.mean(keras.layers.Embedding(20, 4, dtype=policy)(inputs), 1)
        model = keras.Model(inputs, keras.layers.Dense(1, dtype=policy)(pooled))
        model.compile(optimizer=LossScaleOptimizer(default(), initial_scale=2.0), loss="mse")
    before = model.get_weights()[0]
    model.fit(np.ones((8, 5), "int32"), np.ones((8, 1), "float32"), verbose=0)
    after = model.get_weights()[0]
    assert (before[1] != after[1]).all() and (before[2:] == after[2:]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is LossScaleOptimizer
    assert loaded.optimizer.get_config() == model.optimizer.get_config()


def test_no_optimizer_is_wrapped_twice():
    keras_own = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert with_loss_scaling(keras_own) is keras_own
    inner = keras.optimizers.SGD()
    assert with_loss_scaling(inner).inner_optimizer is inner
