"""The large memory in tf-keras, alone and in models of TensorFlow Recommenders."""

import local_cluster
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from lmn_tf import layers
from lmn_tf.integrations import LargeMemory


def drive(what):
    """What the driver prints, in a process where TensorFlow Recommenders works."""
    return local_cluster.drive(
        "recommenders_driver.py", what, environment={"TF_USE_LEGACY_KERAS": "1"}
    )


def random(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


def test_computes_what_the_keras_3_layer_computes():
    history, user, target = random(4, 5, 8), random(4, 3), random(4, 8)
    mask = np.arange(5) < np.array([[5], [2], [0], [1]])
    layer = layers.LargeMemory(6, 4, pooling="target_attention", query_target=True)
    want = layer(history, user=user, mask=mask, target=target)
    lending = LargeMemory.from_keras_layer(layer)
    got = lending(history, user=user, mask=mask, target=target)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(lending.losses, layer.losses)
    back = lending.to_keras_layer()
    assert back.get_config() == layer.get_config()
    np.testing.assert_array_equal(back(history, user=user, mask=mask, target=target), want)


def test_a_mask_of_tf_keras_is_read():
    embedding = tf_keras.layers.Embedding(9, 8, mask_zero=True)
    layer = LargeMemory(6, 4)
    ids = np.array([[3, 0, 0], [4, 5, 0]])
    want = layer(embedding(ids[:1, :1]))
    np.testing.assert_allclose(layer(embedding(ids))[:1], want, rtol=1e-5)
    positions = LargeMemory(6, 4, pooling="none")(embedding(ids))
    np.testing.assert_array_equal(positions._keras_mask, ids > 0)


def test_trains_and_saves_in_a_functional_model(tmp_path):
    ids = tf_keras.Input((5,), dtype="int64")
    vectors = tf_keras.layers.Embedding(20, 8, mask_zero=True)(ids)
    logits = tf_keras.layers.Dense(1)(LargeMemory(num_keys=6, top_k=4, name="memory")(vectors))
    model = tf_keras.Model(ids, logits)
    loss = tf_keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adagrad(0.5), loss)
    x = np.random.default_rng(0).integers(0, 20, (64, 5))
    y = (x.max(axis=1, keepdims=True) > 16).astype("float32")
    logs = model.fit(x, y, epochs=30, verbose=0).history
    assert logs["loss"][-1] < 0.8 * logs["loss"][0]
    assert {"memory_loss", "query_norm", "read_out_norm"} <= logs.keys()
    model.save(tmp_path / "model.keras")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_only_slots_that_are_read_move():
    layer = LargeMemory(num_keys=10, top_k=2, memory_loss_weight=0.0)
    history = random(1, 1, 8)
    layer(history)
    values = layer.keras_layer.memory.memory_values
    before = values.numpy()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(history) ** 2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    tf_keras.optimizers.Adagrad(0.1).apply_gradients(
        (gradient, weight)
        for gradient, weight in zip(gradients, layer.trainable_weights, strict=True)
        if gradient is not None
    )
    moved = np.any(values.numpy() != before, axis=1)
    assert moved.sum() == 2


@pytest.mark.slow  # the quick tests run the notebook of such a model
def test_a_recommenders_model_trains_it():
    told = drive("train")
    assert told["losses"][-1] < 0.9 * told["losses"][0]
    assert {"memory_loss", "query_norm", "read_out_norm"} <= set(told["logged"])
    assert all(told["moved"])
    assert told["keras_3"] == 0
    ours, theirs = told["top_k"]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.slow
def test_a_recommenders_model_is_saved_and_served():
    told = drive("save")
    assert told["restored"] == 0 and told["served"] < 1e-5


@pytest.mark.slow
def test_a_recommenders_model_trains_on_parameter_servers():
    told = drive("servers")
    assert told["losses"][-1] < 0.9 * told["losses"][0]
    assert told["moved"]
