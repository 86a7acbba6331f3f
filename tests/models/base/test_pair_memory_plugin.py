import copy

import numpy as np
import pytest
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL,
    kitchen_sink_spec,
    random_features,
    request_features,
)
from pair_pooling import PairPooling
from rated_items import rated_dict

from lmn_tf.models import DIN, Pooling
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin
from lmn_tf.optimizers import GroupOptimizer, RowWiseSGD
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

SPEC = kitchen_sink_spec()


def crossed_spec():
    """The kitchen sink's spec, whose events have an id for each item and hour."""
    sequence = copy.deepcopy(KITCHEN_SINK["sequences"][0])
    sequence["crosses"] = [{"name": "item_x_hour", "of": ["item", "hour"]}]
    return kitchen_sink_spec(sequences=[sequence])


def with_values(model):
    """The model, with values of its memory that are no longer 0."""
    model.build()
    (memory,) = model.pair_memories.values()
    rng = np.random.default_rng(0)
    memory.memory_values.assign(rng.normal(size=memory.memory_values.shape))
    return model, memory


def test_a_new_model_is_its_host():
    host, model = Pooling(SPEC, **SMALL), PairPooling(SPEC, **SMALL)
    features = random_features(SPEC)
    host.build(), model.build()
    own = [weight for weight in model.weights if "clicks_pairs" not in weight.path]
    for weight, want in zip(own, host.weights, strict=True):
        weight.assign(want)
    np.testing.assert_array_equal(model(features), host(features))


def test_pairs_of_the_item_with_the_most_ids_are_added_to_the_logits():
    model, memory = with_values(PairPooling(SPEC, **SMALL))
    features = random_features(SPEC)
    assert (memory.num_rows, memory.num_columns) == (42, 42)
    table = memory.get_weights()[0].reshape(42, 42)
    added = [
        sum(
            table[event, item]
            for event in features["clicks/item"][row][features["clicks/mask"][row]]
            if event > 1 and item > 1
        )
        for row, item in enumerate(features["item"])
    ]
    logits = model(features)[:, 0]
    memory.memory_values.assign(np.zeros_like(memory.memory_values))
    assert np.abs(added).max() > 0.5
    np.testing.assert_allclose(logits - model(features)[:, 0], added, rtol=1e-4, atol=1e-5)


def test_rows_are_the_ids_of_a_cross():
    spec = crossed_spec()
    model, memory = with_values(PairPooling(spec, **SMALL))
    assert memory.num_rows == 42 * 4
    features = random_features(spec)
    keys = ["clicks/item", "clicks/hour"]
    rows = features[keys[0]] * 4 + features[keys[1]]
    rows[(features[keys[0]] == 0) | (features[keys[1]] == 0)] = 0
    added = memory(rows, features["item"], mask=features["clicks/mask"])[:, 0]
    logits = model(features)[:, 0]
    memory.memory_values.assign(np.zeros_like(memory.memory_values))
    np.testing.assert_allclose(logits - model(features)[:, 0], added, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("readings", ["one", "several"])
def test_written_pairs_are_terms_also_for_candidates_of_one_user(readings):
    spec = kitchen_sink_spec()
    options = {"pair_values": "ease", "pair_pooling": "sqrtn", "pair_readings": readings}
    model, memory = with_values(PairPooling(spec, rates=True, counts=True, **options, **SMALL))
    rng = np.random.default_rng(1)
    shape = model.calibration.term_weights.shape
    assert shape == ((7 if readings == "one" else 10), 1)
    request, windows = request_features(spec)
    before = model(windows).numpy()
    model.calibration.term_weights.assign(rng.normal(size=shape))
    model.calibration.term_slopes.assign(rng.normal(size=shape))
    want = model(windows)
    assert np.abs(want - before).min() > 1e-3
    np.testing.assert_allclose(model(request), want, rtol=1e-4, atol=1e-5)


KEYED = [
    {"pair_rows": rows, "pair_columns": columns, "pair_keys": 6, "pair_top_k": 3}
    for rows, columns in (("keys", "keys"), ("ids", "keys"), ("keys", "ids"))
]


@pytest.mark.parametrize("options", KEYED, ids=str)
def test_rows_and_columns_may_be_keys(options):
    spec = crossed_spec()
    host, model = Pooling(spec, **SMALL), PairPooling(spec, **SMALL, **options)
    features = random_features(spec)
    host.build(), model.build()
    own = [weight for weight in model.weights if "clicks_pairs" not in weight.path]
    for weight, want in zip(own, host.weights, strict=True):
        weight.assign(want)
    np.testing.assert_array_equal(model(features), host(features))
    model, memory = with_values(model)
    keyed = [options[key] == "keys" for key in ("pair_rows", "pair_columns")]
    assert memory.num_rows == (6 if keyed[0] else 42 * 4)
    assert (memory.num_columns, memory.top_k) == (6 if keyed[1] else 42, 3)
    [history] = model.encode(features)["histories"].values()
    rows = history.events if keyed[0] else history.crossed_ids["clicks/item_x_hour"]
    columns = history.target if keyed[1] else features["item"]
    windows = history.event_windows if keyed[0] else history.windows
    added = model(features) - host(features)
    assert np.abs(added).max() > 0.05
    want = memory(rows, columns, windows=windows)
    np.testing.assert_allclose(added, want, rtol=1e-4, atol=1e-5)


def test_keys_are_trained_with_the_dense_weights():
    model = PairPooling(SPEC, **SMALL, **KEYED[0])
    model.compile()
    features, labels = random_features(SPEC), np.array([[1.0], [0.0]] * 3, "float32")
    model.train_on_batch(features, labels)
    (memory,) = model.pair_memories.values()
    assert type(model.optimizer.optimizer_of(memory.memory_values)) is RowWiseSGD
    keys = [weight for weight in memory.trainable_weights if weight.path.endswith("/keys")]
    assert len(keys) == 2 and np.abs(memory.memory_values.numpy()).max() > 0
    before = [key.numpy() for key in keys]
    model.train_on_batch(features, labels)
    for key, value in zip(keys, before, strict=True):
        assert model.optimizer.optimizer_of(key) is model.optimizer.dense
        assert np.abs(key - value).max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pair_columns": "keys", "pair_values": "ease"},
            '`pair_columns` must be "ids" unless `pair_values` is "trained".*'
            "Received: pair_columns='keys', pair_values='ease'",
        ),
        (
            {"pair_rows": "keys", "pair_slots": 9},
            "`pair_slots` must be left out where rows or columns are keys.*Received: pair_slots=9",
        ),
    ],
)
def test_keys_are_trained_and_not_hashed(options, message):
    with pytest.raises(UserError, match=message):
        PairPooling(SPEC, **SMALL, **options)


def test_a_memory_beside_another_host():
    class PairDIN(PairMemoryPlugin, DIN):
        pass

    model, _ = with_values(PairDIN(SPEC, **SMALL, pair_pooling="mean", attention_units=(4,)))
    features = random_features(SPEC)
    model.compile()
    loss = model.train_on_batch(features, np.array([[1.0], [0.0]] * 3, "float32"))
    assert np.isfinite(loss)


def test_pairs_are_trained_by_an_optimizer_of_their_own():
    model = PairPooling(SPEC, **SMALL)
    model.compile()
    model.build()
    assert isinstance(model.optimizer, GroupOptimizer)
    (memory,) = model.pair_memories.values()
    assert type(model.optimizer.optimizer_of(memory.memory_values)) is RowWiseSGD
    table = model.encoder.tables["item"].embeddings
    assert model.optimizer.optimizer_of(table) is model.optimizer.tables


def test_a_field_like_an_item_is_needed():
    sequence = copy.deepcopy(KITCHEN_SINK["sequences"][0])
    sequence["fields"] = [field for field in sequence["fields"] if "like" not in field]
    with pytest.raises(UserError, match="`sequences` of the feature spec must have a field that"):
        PairPooling(kitchen_sink_spec(sequences=[sequence]), **SMALL)


def test_rows_split_into_items_and_outcomes():
    plain = PairPooling(SPEC, **SMALL)
    items, outcomes = plain.split_rows("clicks", np.arange(42))
    assert items.tolist() == list(range(42)) and outcomes is None
    spec = rated_spec()
    model = PairPooling(spec, pair_values="ease", outcome="liked", **SMALL)
    items, outcomes = model.split_rows("history", np.array([0, 1, 4, 43]))
    assert (items.tolist(), outcomes.tolist()) == ([0, 0, 1, 10], [0, 1, 0, 3])
    assert model.candidate_of("history") == "item"


def rated_spec():
    plain = rated_dict()
    plain["sequences"][0]["crosses"] = [{"name": "rated", "of": ["item", "liked"]}]
    return FeatureSpec.from_dict(plain)


@pytest.mark.parametrize(
    ("spec", "outcome", "message"),
    [
        (rated_spec(), "like", "crossed with the items of `history`.*outcome='like'.*mean `liked`"),
        (rated_spec(), "item", "`outcome` must be a field of the numbers 0 and 1 .*='item'"),
        (SPEC, "hour", "that is crossed with the items of `clicks`. Received: .*='hour'"),
    ],
)
def test_the_outcome_is_part_of_the_ids_of_events(spec, outcome, message):
    with pytest.raises(UserError, match=message):
        PairPooling(spec, pair_values="ease", outcome=outcome, **SMALL)


def test_an_outcome_needs_the_regression():
    with pytest.raises(UserError, match="`outcome` must be left out where no term .*='liked'"):
        PairPooling(rated_spec(), outcome="liked", **SMALL)


def test_models_saved_with_an_outcome_of_pairs_load():
    config = PairPooling(SPEC, **SMALL).get_config()
    loaded = PairPooling.from_config({**config, "pair_outcome": None})
    assert loaded.options == PairPooling(SPEC, **SMALL).options
