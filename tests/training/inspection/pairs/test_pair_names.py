import copy

import keras
import numpy as np
from kitchen_sink import KITCHEN_SINK, SMALL, kitchen_sink_spec
from pair_pooling import PairPooling

from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.layers import PairMemory
from lmn_tf.training.inspection.pairs.pair_names import PairNames


def names_of(spec):
    model = PairPooling(spec, **SMALL)
    (memory,) = model.pair_memories.values()
    return PairNames(model, memory, spec)


def test_events_and_candidates_are_items():
    spec = kitchen_sink_spec()
    names, items = names_of(spec), IdNames(spec, spec.feature("item"))
    assert [names.event(id_) for id_ in range(42)] == [items(id_) for id_ in range(42)]
    assert [names.candidate(id_) for id_ in range(42)] == [items(id_) for id_ in range(42)]


def test_crossed_events_have_the_value_of_each_field():
    sequence = copy.deepcopy(KITCHEN_SINK["sequences"][0])
    sequence["crosses"] = [{"name": "hour_x_item", "of": ["hour", "item"]}]
    spec = kitchen_sink_spec(sequences=[sequence])
    names, items = names_of(spec), IdNames(spec, spec.feature("item"))
    hours = IdNames(spec, spec.resolved_field("clicks", "hour"))
    found = [names.event(id_) for id_ in np.arange(4 * 42)]
    assert found == [f"hour {hours(hour)}, {items(id_)}" for hour in range(4) for id_ in range(42)]
    assert names.candidate(7) == items(7)


def test_ids_of_other_models_are_numbers():
    names = PairNames(keras.Sequential(), PairMemory(9, 9), kitchen_sink_spec())
    assert (names.event(8), names.candidate(np.int64(3))) == ("id 8", "id 3")
