"""The memory of MSN in tf-keras."""

import numpy as np
import pytest
import tf_keras

from lmn_tf import layers
from lmn_tf.integrations import SparseMemory


def random(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


@pytest.mark.parametrize("source", ["token", "user_aware"])
def test_computes_what_the_keras_3_layer_computes(source):
    tokens, user = random(4, 3, 8), random(4, 2) if source == "user_aware" else None
    mask = np.arange(3) < np.array([[3], [1], [0], [2]])
    layer = layers.SparseMemory(6, 4, query_source=source)
    want = layer(tokens, user=user, mask=mask)
    lending = SparseMemory.from_keras_layer(layer)
    np.testing.assert_array_equal(lending(tokens, user=user, mask=mask), want)
    back = lending.to_keras_layer()
    np.testing.assert_array_equal(back(tokens, user=user, mask=mask), want)


def test_adds_its_balance_loss_in_training():
    layer = SparseMemory(6, 4, key_balance_weight=0.1)
    layer(random(4, 3, 8), training=False)
    assert not layer.losses
    layer(random(4, 3, 8), training=True)
    assert len(layer.losses) == 1 and float(layer.losses[0]) > 0


def test_config_round_trip():
    layer = SparseMemory(6, 4, gate="sigmoid", name="memory", dtype="mixed_bfloat16")
    copy = SparseMemory.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.keras_layer.gate == "sigmoid" and copy.compute_dtype == "bfloat16"
    assert tf_keras.saving.get_registered_object("lmn_tf>SparseMemory") is SparseMemory
