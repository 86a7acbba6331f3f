import keras
import numpy as np
import pytest
from tiny_run import inspected_run

from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.specs.errors import UserError
from lmn_tf.training.inspection.memory_inspection import inspect_memories
from lmn_tf.training.inspection.slot_neighbors import (
    key_cosines,
    nearest,
    slot_neighbors,
    value_cosines,
)


def cosine(one, other):
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize("layer", [ProductKeyMemory, SparseMemory])
def test_cosines_are_those_of_values_and_whole_keys(layer):
    keras.utils.set_random_seed(1)
    memory = layer(num_keys=5, top_k=3, num_heads=2, key_dim=4)
    memory.build((2, 3, 6))
    values = memory.memory_values.numpy()
    rows, columns = (np.asarray(keys) for keys in memory.scored_keys())  # (2, 5, 4)
    keys = [
        np.concatenate([rows[:, slot // 5].ravel(), columns[:, slot % 5].ravel()])
        for slot in range(25)
    ]
    for slot in (0, 7, 24):
        wanted = [cosine(values[slot], values[other]) for other in range(25)]
        np.testing.assert_allclose(value_cosines(memory, slot), wanted, rtol=1e-5, atol=1e-6)
        wanted = [cosine(keys[slot], keys[other]) for other in range(25)]
        np.testing.assert_allclose(key_cosines(memory, slot), wanted, rtol=1e-5, atol=1e-6)


def test_the_nearest_are_others_among_those_that_count():
    cosines = np.array([0.1, 1.0, 0.9, 0.8, 0.7])
    among = np.array([True, True, False, True, True])
    assert nearest(cosines, 1, 2, among) == {3: 0.8, 4: 0.7}
    assert nearest(cosines, 1, 9, np.zeros(5, bool)) == {}


def test_a_value_of_zero_is_like_no_other():
    memory = ProductKeyMemory(num_keys=2, top_k=2, value_initializer="zeros")
    memory.build((2, 3))
    assert value_cosines(memory, 1).tolist() == [0.0] * 4


def test_readers_of_a_slot_and_its_neighbors_are_those_of_the_most_read():
    run = inspected_run()
    [whole] = inspect_memories(run.evaluator, run.spec, run.dataset(), top=36)
    known = {one["slot"]: one for one in whole.slots}
    slot = whole.slots[0]["slot"]
    found = slot_neighbors(run, slot, top=3)["history_memory"]
    assert found["slot"] == known[slot]
    assert len(found["by_value"]) == len(found["by_key"]) == 3
    for kind in ("by_value", "by_key"):
        cosines = [one.pop("cosine") for one in found[kind]]
        assert cosines == sorted(cosines, reverse=True) and cosines[0] < 1
    for one in found["by_value"]:
        assert one == known[one["slot"]]
    unread = next((slot for slot in range(36) if slot not in known), None)
    if unread is not None:
        one = slot_neighbors(run, unread, top=1)["history_memory"]["slot"]
        assert (one["share"], one["readers"]) == (0.0, {})


def test_a_slot_beyond_the_last_is_refused():
    message = "`--slot` must be from 0 to 35, as `history_memory` has 36 slots. Received: 36"
    with pytest.raises(UserError, match=message):
        slot_neighbors(inspected_run(), 36)
