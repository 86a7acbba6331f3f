import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.large_memory import LargeMemory
from lmn_tf.training.memory_reads import memory_layers, recorded_reads


@pytest.fixture
def model():
    inputs = tf.keras.Input([None, 4])
    outputs = LargeMemory(num_keys=4, top_k=2)(inputs)
    return tf.keras.Model(inputs, outputs)


def test_finds_nested_memories(model):
    outer = tf.keras.Sequential([model, tf.keras.layers.Dense(1)])
    assert [layer.name for layer in memory_layers(outer)] == ["memory"]
    assert memory_layers(tf.keras.Sequential([tf.keras.layers.Dense(1)])) == []


def test_reads_of_a_graph(model):
    memories = memory_layers(model)

    @tf.function
    def forward(x):
        with recorded_reads(memories) as reads:
            outputs = model(x, training=False)
        return outputs, list(reads)

    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    outputs, [(slots, weights, mask)] = forward(x)
    np.testing.assert_allclose(outputs, model(x, training=False), rtol=1e-5, atol=1e-6)
    assert slots.shape == (15, 1, 2) and mask is None
    np.testing.assert_allclose(weights.numpy().sum(axis=-1), 1.0, rtol=1e-5)


def test_a_memory_that_was_not_read_is_told(model):
    with pytest.raises(RuntimeError, match="each memory must be read once. Received: 0 reads of 1"):
        with recorded_reads(memory_layers(model)):
            pass
