import types

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.training.evaluation.memory_reads import memory_layers, memory_names, recorded_reads


@pytest.fixture
def model():
    inputs = tf.keras.Input([None, 4])
    outputs = LargeMemory(num_keys=4, top_k=2)(inputs)
    return tf.keras.Model(inputs, outputs)


def test_finds_nested_memories(model):
    outer = tf.keras.Sequential([model, tf.keras.layers.Dense(1)])
    assert [layer.name for layer in memory_layers(outer)] == ["memory"]
    assert memory_layers(tf.keras.Sequential([tf.keras.layers.Dense(1)])) == []


def test_finds_memories_of_a_kind(model):
    ids = tf.keras.Input([None], dtype="int32"), tf.keras.Input([], dtype="int32")
    outputs = [model.output, PairMemory(3, 3, name="pairs")(*ids)]
    outer = tf.keras.Model([*model.inputs, *ids], outputs)
    assert {layer.name for layer in memory_layers(outer)} == {"memory", "pairs"}
    assert [layer.name for layer in memory_layers(outer, ProductKeyMemory)] == ["memory"]


def test_each_memory_has_a_name_of_its_own():
    def names(*paths):
        layers = [types.SimpleNamespace(path=path, name=path.split("/")[-1]) for path in paths]
        return memory_names(layers)

    assert names("msn/b_0/b_0_memory", "msn/b_1/b_1_memory") == ["b_0_memory", "b_1_memory"]
    clicks, buys = "lmn/clicks_memory/memory", "lmn/buys_memory/memory"
    assert names(clicks, buys) == ["clicks_memory", "buys_memory"]
    assert names(clicks) == ["clicks_memory"]
    assert names("memory") == ["memory"] and names("a/memory", "b/memory") == ["a", "b"]


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
