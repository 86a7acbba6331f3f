import keras
import numpy as np
import pytest

from lmn_tf.callbacks import MemoryProbe
from lmn_tf.layers import LargeMemory, MemoryGate, ProductKeyMemory


def test_padding_does_not_read():
    memory = LargeMemory(num_keys=3, top_k=2, name="slots")
    model = keras.Sequential([keras.Input((4, 3)), keras.layers.Masking(), memory])
    batch = np.ones((2, 4, 3), "float32")
    batch[0, 1:] = 0.0
    probe = MemoryProbe(model, batch)
    assert probe.graph is None
    values = probe.measure()
    _, slots, weights = memory.read(batch, mask=(batch != 0).any(axis=-1))
    wanted = np.bincount(np.asarray(slots).reshape(-1) + 1, np.asarray(weights).reshape(-1), 10)[1:]
    np.testing.assert_allclose(values.reads["slots"], wanted, rtol=1e-5)
    assert values.reads["slots"].sum() == pytest.approx(5.0)
    assert values.query_lengths["slots"].shape == (5 * 2,)
    assert probe.graph is not None


def test_reads_of_a_memory_that_is_called_twice_are_added_up():
    inputs = keras.Input((3,))
    memory, gate = ProductKeyMemory(num_keys=3, top_k=2, name="slots"), MemoryGate("scalar")
    model = keras.Model(inputs, gate(memory(inputs), memory(2.0 * inputs)))
    values = MemoryProbe(model, lambda: np.ones((4, 3), "float32")).measure()
    assert values.reads["slots"].sum() == pytest.approx(8.0)
    assert 0.0 < values.openness[gate.name] < 1.0
    assert values.entropies == {}


def test_a_measurement_changes_nothing():
    memory = LargeMemory(num_keys=3, top_k=2, name="slots")
    model = keras.Sequential([memory, keras.layers.Dropout(0.5)])
    probe = MemoryProbe(model, np.ones((2, 4, 3), "float32"))
    first = probe.measure()  # builds the model
    before = [np.array(variable) for variable in model.variables]
    second = probe.measure()
    np.testing.assert_array_equal(first.reads["slots"], second.reads["slots"])
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    memory.memory.row_query.kernel.assign(-memory.memory.row_query.kernel)
    assert np.abs(probe.measure().reads["slots"] - first.reads["slots"]).sum() > 0.1
