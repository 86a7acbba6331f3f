import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.layers import ProductKeyMemory
from lmn_tf.models.base.slot_usage import SlotCounter, SlotUsage


def test_oracle():
    usage = SlotUsage(4, prefix="clicks_", by="counts")
    usage.update_state([[0, 1], [0, 1], [0, 2], [0, 2]])
    result = usage.result()
    assert result["clicks_slots_used"] == 75.0
    assert result["clicks_slots_for_90"] == 3.0
    np.testing.assert_allclose(result["clicks_memory_kl"], 0.346574, atol=1e-6)


def test_graphs_get_no_number_but_the_same_names():
    usage = SlotUsage(4)
    usage.update_state([[0, 1]])
    inside = tf.function(usage.result)()
    assert set(inside) == set(usage.result())
    assert all(np.isnan(value) for value in inside.values())


def test_config_round_trip():
    usage = SlotUsage(4, prefix="x_", by="counts")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(usage))
    assert again.get_config() == usage.get_config()


def test_a_counter_counts_where_it_is_told_to():
    memories = {
        name: ProductKeyMemory(num_keys=2, top_k=4, query_norm="none") for name in ("a", "b")
    }
    counter = SlotCounter(memories)
    x = np.ones((3, 2), "float32")
    with counter.counting():
        memories["a"](x)
        with counter.counting(enabled=False):
            memories["a"](x, mask=np.array([True, False, False]))
    memories["a"](x)
    assert float(np.sum(counter.metrics[0].reads)) == pytest.approx(4.0)
    assert counter.statistics()["a"]["used"] == 100.0
    assert np.isnan(counter.statistics()["b"]["used"])
    assert counter.metrics[1].result().keys() == {
        "b_slots_used",
        "b_memory_kl",
        "b_slots_for_90",
    }
    [one] = SlotCounter({"a": memories["a"]}).metrics
    assert "slots_used" in one.result()
