import keras
import numpy as np
import tensorflow as tf

from lmn_tf.models.slot_usage import SlotUsage


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
