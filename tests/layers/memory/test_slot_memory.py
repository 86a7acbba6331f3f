import keras
import numpy as np
import pytest

from lmn_tf.layers.memory.keyed_pair_memory import KeyedPairMemory
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.layers.memory.slot_memory import SlotMemoryMixin

IDS = np.array([[2, 3, 1]])


@pytest.mark.parametrize(
    ("memory", "inputs", "queries"),
    [
        (ProductKeyMemory(num_keys=4, top_k=2), [np.ones((1, 2, 3), "float32")], (2, 1, 2)),
        (PairMemory(4, 3), [IDS, np.array([2])], (3, 1, 1)),
        (KeyedPairMemory(4, 3, "ids"), [IDS, np.ones((1, 2), "float32")], (3, 1, 1)),
        (
            KeyedPairMemory(4, 3, top_k=2),
            [np.ones((1, 3, 2), "float32"), np.ones((1, 2), "float32")],
            (3, 1, 2),
        ),
        (
            KeyedPairMemory(4, 3, column_codes="ids"),
            [np.ones((1, 3, 2), "float32"), np.array([2])],
            (1, 1, 1),
        ),
    ],
    ids=["keys", "pairs", "ids and keys", "two keys", "keys and ids"],
)
def test_reads_are_told_within_a_block_only(memory, inputs, queries):
    assert isinstance(memory, SlotMemoryMixin) and isinstance(memory, keras.layers.Layer)
    memory(*inputs)
    inner, outer = [], []
    with memory.watched(lambda reading, mask: outer.append(reading)):
        with pytest.raises(KeyError, match="stop"):
            with memory.watched(lambda reading, mask: inner.append(reading)):
                memory(*inputs)
                raise KeyError("stop")
        memory(*inputs)
    memory(*inputs)
    for [reading] in (inner, outer):
        assert reading.slots.shape == reading.weights.shape == queries
        assert 0 <= np.min(reading.slots) and np.max(reading.slots) < memory.memory_size
    assert tuple(memory.memory_values.shape)[0] == memory.memory_size
