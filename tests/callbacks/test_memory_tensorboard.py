import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL,
    SMALL_MEMORY,
    SMALL_OPTIONS,
    random_features,
    random_labels,
    slim_spec,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.callbacks import MemoryTensorBoard
from lmn_tf.layers import LargeMemory
from lmn_tf.models import DNN, LMN, MSN

SPEC = slim_spec()


def data(batches=3):
    rows = random_features(SPEC), random_labels()
    return tf.data.Dataset.from_tensors(rows).repeat(batches)


def events(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [
            (event.step, float(tf.make_ndarray(event.tensor_proto).reshape(-1)[0]))
            for event in read.Tensors(tag)
        ]
        for tag in read.Tags()["tensors"]
    }


def test_writes_training_values_usage_and_norms(tmp_path):
    keras.utils.set_random_seed(1)
    model = LMN(SPEC, **SMALL_MEMORY)
    model.compile(run_eagerly=True)
    history = model.fit(
        data(),
        validation_data=data(1),
        epochs=2,
        verbose=0,
        callbacks=[MemoryTensorBoard(tmp_path, update_freq=2)],
    ).history
    found = events(tmp_path)
    assert set(found) == {
        "clicks_memory/memory_loss",
        "clicks_memory/query_norm",
        "clicks_memory/read_out_norm",
        "clicks_memory/value_norm",
        "usage/slots_used",
        "usage/memory_kl",
        "usage/slots_for_90",
    }
    assert [step for step, _ in found["clicks_memory/memory_loss"]] == [2, 3, 4, 6, 6]
    assert [step for step, _ in found["clicks_memory/value_norm"]] == [3, 6]
    assert [step for step, _ in found["usage/slots_used"]] == [3, 6]
    np.testing.assert_allclose(
        [value for _, value in found["usage/slots_used"]], history["val_slots_used"], rtol=1e-5
    )
    np.testing.assert_allclose(
        found["clicks_memory/memory_loss"][-1][1], history["memory_loss"][-1], rtol=1e-5
    )


def test_finds_the_memory_of_any_keras_model(tmp_path):
    inputs = keras.Input((4, 3))
    inner = keras.Model(inputs, LargeMemory(num_keys=3, top_k=2, name="slots")(inputs))
    outer = keras.Sequential([inner, keras.layers.Dense(1)])
    outer.compile("sgd", "mse")
    callback = MemoryTensorBoard(tmp_path)
    outer.fit(np.ones((4, 4, 3)), np.ones((4, 1)), verbose=0, callbacks=[callback])
    assert "slots/memory_loss" in events(tmp_path)


def test_sparse_memories_are_told_too(tmp_path):
    model = MSN(SPEC, **SMALL_OPTIONS["msn"])
    model.compile(run_eagerly=True)
    callback = MemoryTensorBoard(tmp_path)
    model.fit(data(1), validation_data=data(1), verbose=0, callbacks=[callback])
    found = events(tmp_path)
    assert {"block_0_memory/value_norm", "block_1_memory/value_norm"} <= set(found)
    assert "usage/block_1_slots_used" in found


def test_a_model_without_a_memory_writes_nothing(tmp_path):
    model = DNN(SPEC, **SMALL)
    model.compile(run_eagerly=True)
    model.fit(data(1), verbose=0, callbacks=[MemoryTensorBoard(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("update_freq", [0, -1, 2.5, True])
def test_mistakes_are_told(tmp_path, update_freq):
    with pytest.raises(ValueError, match="`update_freq` must be a positive integer. Received: "):
        MemoryTensorBoard(tmp_path, update_freq=update_freq)
