import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL_OPTIONS,
    random_features,
    random_labels,
    shared_features,
    slim_spec,
)

from lmn_tf.metrics.figures import slot_figures
from lmn_tf.metrics.memory_usage import usage_statistics
from lmn_tf.models import registry
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.inspection.memory_inspection import inspect_memories

SPEC = slim_spec()


def inspected(name, **options):
    keras.utils.set_random_seed(1)
    model = registry.build(name, SPEC, {**SMALL_OPTIONS[name], **options})
    model.build()
    features = random_features(SPEC, rows=30)
    data = tf.data.Dataset.from_tensor_slices((features, random_labels(30))).batch(8)
    [one] = inspect_memories(Evaluator(model), SPEC, data, top=5, readers=50)
    return model, features, one


@pytest.mark.parametrize(
    ("memory_fields", "query_target"),
    [
        ("event", True),
        pytest.param("event", False, marks=pytest.mark.slow),
        pytest.param("all", True, marks=pytest.mark.slow),
        pytest.param("all", False, marks=pytest.mark.slow),
    ],
)
def test_windows_name_the_readers_of_their_padded_form(memory_fields, query_target):
    keras.utils.set_random_seed(1)
    options = {"memory_fields": memory_fields, "query_target": query_target}
    model = registry.build("lmn", SPEC, {**SMALL_OPTIONS["lmn"], **options})
    model.build()
    features, twin = shared_features(SPEC)
    labels = random_labels(9)
    found, wanted = (
        inspect_memories(
            Evaluator(model), SPEC, tf.data.Dataset.from_tensors((form, labels)), top=3, readers=5
        )[0]
        for form in (features, twin)
    )
    pairs = features["clicks/length"].sum()
    assert len(features["clicks/item"]) < pairs
    assert found.queries == wanted.queries == pairs + (9 if query_target else 0)
    np.testing.assert_allclose(found.reads, wanted.reads, rtol=1e-5)
    for one, other in zip(found.slots, wanted.slots, strict=True):
        for feature in ("item", "user"):
            assert shares(one, feature) == pytest.approx(shares(other, feature), rel=1e-4)
            lifts = [
                [reader["lift"] for reader in slot["readers"][feature]] for slot in (one, other)
            ]
            assert lifts[0] == pytest.approx(lifts[1], rel=1e-4)


def shares(found, feature):
    return {reader["value"]: reader["share"] for reader in found["readers"][feature]}


@pytest.mark.parametrize("query_target", [False, True])
def test_slots_name_the_events_and_users_that_read_them(query_target):
    options = {"open_keys": 5, "query_target": query_target, "memory_fields": "all"}
    model, features, one = inspected("lmn", **options)
    layer = model.memories["clicks"]
    groups = model.encoder.encode(features)
    history = groups["histories"]["clicks"]
    _, slots, weights = layer.read(history["history"], groups["user"], history["mask"])
    want, users = collections.Counter(), collections.Counter()
    slot = one.slots[0]["slot"]
    for row, event, head, rank in np.argwhere(np.asarray(slots) == slot):
        weight = float(weights[row, event, head, rank])
        want[str(features["clicks/item"][row, event] - 2)] += weight
        users[f"hash {features['user'][row] - 2}"] += weight
    queries = int(features["clicks/mask"].sum())
    if query_target:
        candidates = layer.user_aware_query.query_rows(history["target"], groups["user"])
        reading = layer.memory.read(candidates, training=False)
        for row, head, rank in np.argwhere(np.asarray(reading.slots) == slot):
            weight = float(reading.weights[row, head, rank])
            want[str(features["item"][row] - 2)] += weight
            users[f"hash {features['user'][row] - 2}"] += weight
        queries += 30
    found = one.slots[0]
    total = sum(want.values())
    assert one.reads[slot] == pytest.approx(total, rel=1e-5)
    for feature, counter in (("item", want), ("user", users)):
        got = shares(found, feature)
        counter = {
            ("(unknown)" if key in ("-1", "hash -1") else key): value / total
            for key, value in counter.items()
        }
        assert got == pytest.approx(counter, rel=1e-4)
    figures = one.figures()
    assert slot_figures(usage_statistics(one.reads)).items() <= figures.items()
    assert (figures["queries"], figures["memory_size"]) == (queries, 36)
    assert figures["closed_slots"] == 36 - 25
    assert figures["dead_slots"] == 25 - np.count_nonzero(one.reads)
    assert "tags" not in found["readers"]  # lists are no single reader
    reads = [one.reads[other["slot"]] for other in one.slots]
    assert reads == sorted(reads, reverse=True) and len(reads) == 5


def test_tokens_name_their_row():
    _, features, one = inspected("msn", num_blocks=1)
    found = one.slots[0]
    assert one.figures()["queries"] == 60  # two tokens a row
    assert sum(shares(found, "item").values()) == pytest.approx(1.0, rel=1e-5)
    users = {"(unknown)" if id_ == 1 else f"hash {id_ - 2}" for id_ in features["user"]}
    assert set(shares(found, "user")) <= users
    names = np.array(["(unknown)" if id_ == 1 else str(id_ - 2) for id_ in features["item"]])
    for reader in found["readers"]["item"]:  # each row has the same weight
        of_all = np.mean(names == reader["value"])
        assert reader["lift"] == pytest.approx(reader["share"] / of_all, rel=1e-5)
