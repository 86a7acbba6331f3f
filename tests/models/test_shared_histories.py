"""Rows that share their events are worth as much as rows that have their own, padded."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_labels,
    request_features,
    shared_features,
    slim_spec,
    timeless_spec,
)

from lmn_tf.layers import NextBehaviorLoss
from lmn_tf.models import registry

MODELS = [name for name in registry.names() if registry.model_class(name).reads_histories]
READERS = ("pooling", "din")
# Options that change what is read, or how.
VARIANTS = [
    ("pooling", {"pooling": "sqrtn", "interaction": "product", "wide": True}),
    ("pooling", {"softmax_weight": 0.5}),
    ("din", {"attention_activation": "dice", "attention_weights": "raw", "add_pooling": True}),
    ("dien", {"variant": "aigru", "attention": "mlp", "add_pooling": True}),
    ("dien", {"variant": "released"}),
    ("mimn", {"induction_top_k": 0, "utilization": "released"}),
    ("mimn", {"num_write_heads": 2, "num_read_heads": 2, "auxiliary_weight": 0.5}),
    ("lmn", {"memory_pooling": "target_attention", "query_target": True}),
    ("lmn", {"memory_pooling": "sum", "stop_gradient": "memory_only", "key_balance_weight": 0.1}),
    ("lmn", {"query_norm": "none", "user_merge": "concat", "num_heads": 2}),
    ("lmn", {"memory_fields": "all"}),
    ("imn", {"positions": "none", "attention_weights": "softmax"}),
    ("imn", {"positions": "sinusoidal", "normalize": "length", "cross": "delayed"}),
    ("imn", {"attention": False}),
    ("ubr4ctr", {"retrieval": "self_attention"}),
    ("sim", {"search": "hard"}),
    ("lmn_pair", {"pair_slots": None, "pair_rows": "keys", "pair_columns": "keys"}),
    ("lmn_pair", {"pair_slots": None, "pair_rows": "keys", "pair_pooling": "sqrtn"}),
    ("lmn_pair", {"pair_slots": None, "pair_columns": "keys"}),
]
CASES = [(name, {}) for name in MODELS] + VARIANTS


def twins(name, options, spec, rate=0.5, run_eagerly=True):
    """Two models of the same weights."""
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = registry.build(name, spec, {**SMALL_OPTIONS[name], **options})
        # Not Adam, which makes steps of what is rounding where a gradient is 0.
        model.compile(optimizer=keras.optimizers.SGD(rate), run_eagerly=run_eagerly)
        model.build()
        models.append(model)
    for one, other in zip(models[0].weights, models[1].weights, strict=True):
        other.assign(one)
    return models


@pytest.fixture(autouse=True)
def negatives(monkeypatch):
    """Has the first event of the batch be all negatives: what is drawn depends on the form."""

    def first(layer, mask, counts=None):
        drawn = tf.fill(tf.shape(mask), tf.argmax(tf.reshape(mask, [-1])))
        return drawn, tf.ones(tf.shape(mask)[:1], bool)

    monkeypatch.setattr(NextBehaviorLoss, "_draw", first)


# Elapsed times depend on the row, too: there models read combinations of events and buckets. These
# read by pooling, by attention and from a memory. Others train in the slow tests.
QUICK = [(timeless_spec, name, {}) for name in MODELS if name in READERS]
QUICK += [(kitchen_sink_spec, "lmn", {})]
SLOW = [(spec, *case) for spec in (timeless_spec, kitchen_sink_spec) for case in CASES]
SLOW = [case for case in SLOW if case not in QUICK]


@pytest.mark.parametrize("name", [name for name in MODELS if name not in READERS])
def test_scores_on_shared_events_are_those_on_padded_histories(name):
    spec = timeless_spec()
    shared, padded = shared_features(spec)
    model = registry.build(name, spec, SMALL_OPTIONS[name])
    np.testing.assert_allclose(model(shared), model(padded), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_steps_on_shared_events_are_those_on_padded_histories(spec, name, options):
    tables = spec().to_dict()["tables"]
    spec = spec(tables={**tables, "item": {"dim": 6, "regularizer": 0.01}})
    shared, padded = shared_features(spec)
    labels = random_labels(len(padded["group"]))
    model, twin = twins(name, options, spec)
    np.testing.assert_allclose(model(shared), twin(padded), rtol=1e-5, atol=1e-6)
    for _ in range(2):
        keras.utils.set_random_seed(5)
        got = model.train_on_batch(shared, labels, return_dict=True)
        keras.utils.set_random_seed(5)
        want = twin.train_on_batch(padded, labels, return_dict=True)
        np.testing.assert_allclose(got["loss"], want["loss"], rtol=1e-5)
        assert got.keys() == want.keys()
        for key in got:
            np.testing.assert_allclose(got[key], want[key], rtol=1e-4, atol=1e-6)
    for weight, other in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=2e-5, err_msg=weight.path)
    got = model.test_on_batch(shared, labels, return_dict=True)
    want = twin.test_on_batch(padded, labels, return_dict=True)
    for key in want:
        np.testing.assert_allclose(got[key], want[key], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), CASES)
def test_twenty_steps_on_shared_events_are_those_on_padded_histories(name, options):
    spec = timeless_spec()
    shared, padded = shared_features(spec)
    labels = random_labels(len(padded["group"]))
    # At this rate a difference of rounding does not grow to another choice of slots.
    model, twin = twins(name, options, spec, rate=0.05, run_eagerly=False)
    start = [np.array(weight) for weight in model.trainable_weights]
    for trained, features in ((model, shared), (twin, padded)):
        for step in range(20):
            keras.utils.set_random_seed(step)
            trained.train_on_batch(features, labels)
    for weight, other in zip(model.weights, twin.weights, strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-3, atol=1e-4, err_msg=weight.path)
    moved = [
        np.max(np.abs(weight - old))
        for weight, old in zip(model.trainable_weights, start, strict=True)
    ]
    assert np.max(moved) > 0.01


REQUESTS = [(kitchen_sink_spec, *case) for case in CASES] + [(timeless_spec, "lmn", {})]
QUICK_REQUESTS = [(kitchen_sink_spec, "din", {})]  # others: tests/serving


@pytest.mark.parametrize(
    ("spec", "name", "options"),
    [
        pytest.param(*case, marks=() if case in QUICK_REQUESTS else pytest.mark.slow)
        for case in REQUESTS
    ],
)
def test_candidates_of_one_user_score_as_rows_with_windows(spec, name, options):
    spec = spec()
    keras.utils.set_random_seed(3)
    model = registry.build(name, spec, {**SMALL_OPTIONS[name], **options})
    model.build()
    for events, candidates in ((3, 4), (5, 1), (0, 2)):
        request, windows = request_features(spec, events, candidates)
        got, want = model(request, training=False), model(windows, training=False)
        assert got.shape == (candidates, 1)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_memory_reads_each_event_once_for_all_rows_that_see_the_same_bucket():
    spec = slim_spec()
    shared, padded = shared_features(spec)
    first, lengths = shared["clicks/first"], shared["clicks/length"]
    seen, pair = set(), 0
    latest = {}  # rows of an event that stand together see a bucket as long as it stays the same
    for row, (start, length) in enumerate(zip(first, lengths, strict=True)):
        for event in range(start, start + length):
            bucket = shared["clicks/elapsed"][pair]
            if latest.get(event, (None, None))[0] != bucket:
                latest[event] = bucket, row
            seen.add((event, *latest[event]))
            pair += 1
    assert len(shared["clicks/item"]) < len(seen) < pair
    model = registry.build("lmn", spec, {**SMALL_OPTIONS["lmn"], "memory_fields": "all"})
    model.build()
    read = []
    with model.memories["clicks"].memory.watched(lambda *one: read.append(one)):
        model(shared)
        model(padded)
    (reading, counts), (twin, _) = read
    assert reading.slots.shape[0] == len(seen) and twin.slots.shape[0] == pair
    assert np.sum(counts) == pair
