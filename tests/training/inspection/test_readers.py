import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, shared_features, slim_spec

from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.models import CTRModel, registry
from lmn_tf.training.inspection.readers import Readers

SPEC = slim_spec()
# The numbers of rows, events and pairs differ.
FEATURES, _ = shared_features(SPEC, runs=((0, 3, 3), (2, 4, 5), (0,), (1,)))
WINDOWS = list(zip(FEATURES["clicks/first"], FEATURES["clicks/length"], strict=True))
BATCH = len(WINDOWS)


class Own(CTRModel):
    """A model of a user's own, with memories in places of its own."""

    reads_histories = True

    def __init__(self, spec, **options):
        super().__init__(spec, **options)
        self.of_events, self.of_tokens = LargeMemory(6, 4), SparseMemory(6, 4)


def own_readers(layer="of_events", spec=SPEC):
    model = Own(spec)
    memory = getattr(model, layer)
    return Readers(model, getattr(memory, "memory", memory), spec)


def pairs():
    return [
        (row, event)
        for row, (first, count) in enumerate(WINDOWS)
        for event in range(first, first + count)
    ]


def first_rows():
    rows = {}
    for row, event in pairs():
        rows.setdefault(event, row)
    return [rows[event] for event in range(len(FEATURES["clicks/item"]))]


@pytest.mark.parametrize("with_candidates", [False, True])
def test_events_of_a_layer_of_ones_own_are_known_by_their_number(with_candidates):
    more = list(range(BATCH)) * with_candidates
    rows = [*first_rows(), *more]
    queries = own_readers().queries(FEATURES, len(rows))
    assert FEATURES["user"][queries.rows].tolist() == FEATURES["user"][rows].tolist()
    assert queries.ids["user"].tolist() == FEATURES["user"][rows].tolist()
    items = [*FEATURES["clicks/item"], *FEATURES["item"][more]]
    assert queries.ids["item"].tolist() == items
    assert "tags" not in queries.ids  # lists are no single reader


def test_pairs_of_a_layer_of_ones_own_are_known_by_their_number():
    queries = own_readers().queries(FEATURES, len(pairs()))
    rows, events = zip(*pairs(), strict=True)
    assert queries.rows.tolist() == list(rows)
    assert queries.ids["item"].tolist() == FEATURES["clicks/item"][list(events)].tolist()


def test_tokens_and_rows_are_those_of_their_row():
    for layer in ("of_tokens", "of_events"):
        queries = own_readers(layer).queries(FEATURES, BATCH)
        assert queries.rows.tolist() == list(range(BATCH))
        assert queries.ids["item"].tolist() == FEATURES["item"].tolist()
    queries = own_readers("of_tokens").queries(FEATURES, 2 * BATCH)
    assert queries.rows.tolist() == np.repeat(np.arange(BATCH), 2).tolist()


def test_what_is_ambiguous_or_fits_nothing_has_no_reader():
    clicks = SPEC.to_dict()["sequences"][0]
    twice = slim_spec(sequences=[clicks, {**clicks, "name": "buys"}])
    names = [key for key in FEATURES if key.startswith("clicks/")]
    features = FEATURES | {key.replace("clicks", "buys"): FEATURES[key] for key in names}
    count = len(FEATURES["clicks/item"])
    for queries in (
        own_readers(spec=twice).queries(features, count),
        own_readers().queries(FEATURES, 5 * BATCH + 1),
    ):
        assert set(queries.rows) == {-1} and set(queries.ids["user"]) == {-1}
        assert "item" not in queries.ids


def test_the_memory_of_a_plugin_is_known_by_its_sequence():
    for options, count in (({}, len(FEATURES["clicks/item"])), ({"memorize": "cross"}, BATCH)):
        model = registry.build("lmn", SPEC, {**SMALL_OPTIONS["lmn"], **options})
        [layer] = model.memories.values()
        readers = Readers(model, layer.memory, SPEC)
        queries = readers.queries(FEATURES, count)
        assert queries.rows.min() >= 0 and readers.count_rows(FEATURES) == BATCH
        names = readers.item_names(FEATURES, count, "item")
        assert names[0] == readers.names["item"](queries.ids["item"][0])
        assert readers.item_names(FEATURES, count, "price") == [None] * count
