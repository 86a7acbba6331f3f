import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.optimizers import LossScaleOptimizer, default


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
