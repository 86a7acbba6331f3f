import copy
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import kitchen_sink_spec, random_features, request_features
from rated_items import rated_dict
from scipy.special import logit

from lmn_tf.features import FeatureEncoder
from lmn_tf.models import DNN, MIMN, Pooling, TwoTower
from lmn_tf.models.terms.rate_terms import RateTerms
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

SPEC = FeatureSpec.from_dict(rated_dict())
FEATURES = {
    "user": np.array([3, 1, 0], np.int32),
    "item": np.array([4, 2, 0], np.int32),
    "hour": np.array([2, 3, 4], np.int32),
    "history/item": np.array([[2, 3, 4], [5, 6, 0], [0, 0, 0]], np.int32),
    "history/liked": np.array([[3, 2, 3], [3, 1, 3], [0, 3, 3]], np.int32),
    "history/mask": np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]], bool),
}


def make(num_labels=2, outcome="liked", spec=SPEC, **options):
    sizes = FeatureEncoder(spec).sizes
    terms = RateTerms(spec, num_labels, sizes, histories=True, outcome=outcome, **options)
    terms.build()
    fill(terms)
    terms.rate.assign(np.linspace(0.3, 0.6, num_labels))
    return terms


def fill(terms):
    """Draws the rates of items and users."""
    rng = np.random.default_rng(0)
    for table in terms.tables.values():
        table.embeddings.assign(rng.normal(size=table.embeddings.shape))


def windows_of(features):
    mask = tf.constant(features["history/mask"])
    return {"history": ValidPositions(mask, mask)}


def slow_terms(terms, row):
    every = (table.embeddings.numpy() for table in terms.tables.values())
    items, users = (table[:, : terms.num_labels] for table in every)
    rate = terms.rate.numpy().astype(float)
    item, user = FEATURES["item"][row], FEATURES["user"][row]
    events = [
        one
        for one, valid in zip(
            FEATURES["history/liked"][row], FEATURES["history/mask"][row], strict=True
        )
        if valid and one >= 2
    ]
    rates = (events.count(3) + 20 * rate) / (len(events) + 20)
    return [items[item] * (item > 0), users[user] * (user > 0), logit(rates) - logit(rate)]


def test_terms_are_rates_of_the_item_the_user_and_the_history(run_mode):
    terms = make()
    assert terms.term_names == ("item", "user", "history")
    got = run_mode(lambda x: terms(x, windows=windows_of(FEATURES)))(FEATURES)
    want = [slow_terms(terms, row) for row in range(3)]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[2, 2], 0.0, atol=1e-6)  # an empty history
    assert not terms.trainable_weights


def test_counts_are_terms_of_their_own(run_mode):
    terms = make(counts=True)
    names = ("item", "user", "history", "rows of item", "rows of user", "new item")
    assert terms.term_names == names and terms.count_names == names[3:]
    tables = [table.embeddings for table in terms.tables.values()]
    for table in tables:
        values = table.numpy()
        values[:, -1] = np.log1p(np.arange(len(values)) % 4)
        table.assign(values)
    got = run_mode(lambda x: terms(x, windows=windows_of(FEATURES)))(FEATURES)
    want = [slow_terms(terms, row) for row in range(3)]
    np.testing.assert_allclose(got[:, :3], want, rtol=1e-4, atol=1e-5)
    items, users = (np.log1p(FEATURES[name] % 4) for name in ("item", "user"))
    for label in range(2):  # counts are those of all labels
        np.testing.assert_allclose(got[:, 3, label], items, rtol=1e-5)
        np.testing.assert_allclose(got[:, 4, label], users, rtol=1e-5)
        np.testing.assert_array_equal(got[:, 5, label], items == 0)
    assert (items == 0).tolist() == [True, False, True]
    twin = RateTerms.from_config(json.loads(json.dumps(terms.get_config())))
    assert twin.term_names == names


def test_events_and_repeats_are_counted(run_mode):
    terms = make(history_counts=True)
    assert terms.term_names[2:] == ("history", "events of history", "repeats in history")
    features = {**FEATURES, "item": np.array([3, 6, 0], np.int32)}
    features["history/item"] = np.array([[3, 3, 4], [6, 5, 6], [0, 0, 0]], np.int32)
    got = run_mode(lambda x: terms(x, windows=windows_of(features)))(features)
    for label in range(2):
        np.testing.assert_allclose(got[:, 3, label], np.log1p([3, 2, 0]), rtol=1e-5)
        np.testing.assert_allclose(got[:, 4, label], np.log1p([2, 1, 0]), rtol=1e-5)
    unknown = {**features, "item": np.array([1, 1, 1]), "history/item": np.ones((3, 3), int)}
    np.testing.assert_array_equal(
        terms(unknown, windows=windows_of(unknown))[:, 4], np.zeros((3, 2))
    )
    twin = RateTerms.from_config(json.loads(json.dumps(terms.get_config())))
    assert twin.term_names == terms.term_names
    sizes = FeatureEncoder(SPEC).sizes
    without = RateTerms(SPEC, 1, sizes, histories=False, history_counts=True)
    assert without.term_names == ("item", "user")


def test_padding_does_not_count():
    side = {
        key: value[:, ::-1].copy() if key.startswith("history/") else value
        for key, value in FEATURES.items()
    }
    side["history/liked"][~side["history/mask"]] = 3
    got = [make()(one, windows=windows_of(one)) for one in (FEATURES, side)]
    np.testing.assert_allclose(*got, rtol=1e-5, atol=1e-6)


def test_before_they_are_written_rates_of_items_and_users_are_0():
    terms = RateTerms(SPEC, 1, FeatureEncoder(SPEC).sizes, histories=False, outcome="liked")
    np.testing.assert_array_equal(terms(FEATURES, windows={}), np.zeros((3, 2, 1)))


def test_is_a_layer_like_others():
    terms = make()
    twin = RateTerms.from_config(json.loads(json.dumps(terms.get_config())))
    twin.build()
    twin.set_weights(terms.get_weights())
    windows = windows_of(FEATURES)
    want = terms(FEATURES, windows=windows)
    np.testing.assert_array_equal(twin(FEATURES, windows=windows), want)
    half = make(dtype="mixed_bfloat16")(FEATURES, windows=windows)
    assert half.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(half, tf.float32), want, rtol=0.02, atol=0.02)


def test_a_spec_without_users_has_no_term_of_them():
    plain = rated_dict(group="item")
    plain["features"] = [one for one in plain["features"] if one["name"] != "user"]
    terms = make(spec=FeatureSpec.from_dict(plain))
    assert terms.term_names == ("item", "history")


def test_only_histories_with_outcomes_have_a_term():
    plain = rated_dict()
    grades = copy.deepcopy(plain["sequences"][0]) | {"name": "graded"}
    grades["fields"][1]["lookup"] = {"identity": 5}
    terms = make(spec=FeatureSpec.from_dict({**plain, "sequences": [*plain["sequences"], grades]}))
    assert terms.term_names == ("item", "user", "history")


def test_tables_are_placed_as_those_of_their_ids():
    plain = rated_dict(tables={"people": {"dim": 4, "placement": "row_wise"}})
    plain["features"][0]["table"] = "people"
    terms = make(spec=FeatureSpec.from_dict(plain))
    placements = {name: table.placement for name, table in terms.tables.items()}
    assert placements == {"item": "replicated", "user": "row_wise"}


def test_the_user_is_the_one_with_the_most_ids():
    spec = kitchen_sink_spec()
    terms = RateTerms(spec, 1, FeatureEncoder(spec).sizes, histories=True)
    assert terms.term_names == ("item", "user")
    request, windows = request_features(spec)
    terms.build()
    fill(terms)
    np.testing.assert_allclose(
        terms(request, windows={}), terms(windows, windows={}), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize(("kind", "outcome"), [(Pooling, "liked"), (DNN, None)])
def test_a_model_keeps_its_logits_until_they_are_written(kind, outcome, counts, tmp_path):
    keras.utils.set_random_seed(1)
    model = kind(SPEC, hidden_units=(4,), rates=True, counts=counts, outcome=outcome)
    model.build()
    keras.utils.set_random_seed(1)
    host = kind(SPEC, hidden_units=(4,))
    host.build()
    features = {k: v for k, v in FEATURES.items() if kind is Pooling or "/" not in k}
    np.testing.assert_array_equal(model(features), host(features))
    weights = model.calibration.get_weights()
    model.calibration.set_weights([np.full_like(one, 0.5) for one in weights])
    fill(model.rate_terms)
    np.testing.assert_array_equal(model(features, training=True), host(features, training=True))
    logits = model(features)
    assert np.abs(logits - host(features)).max() > 0.1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(features), logits, rtol=1e-6)


def test_candidates_of_one_user_have_the_logits_of_their_rows():
    spec = kitchen_sink_spec()
    model = Pooling(spec, hidden_units=(4,), rates=True, counts=True, history_counts=True)
    model.build()
    fill(model.rate_terms)
    assert model.term_names[3:5] == ("events of clicks", "repeats in clicks")
    model.calibration.term_weights.assign(np.arange(1.0, 9.0)[:, None])
    model.calibration.term_slopes.assign(np.linspace(-1.0, 1.0, 8)[:, None])
    request, windows = request_features(spec)
    np.testing.assert_allclose(model(request), model(windows), rtol=1e-4, atol=1e-5)
    assert np.isfinite(model(random_features(spec))).all()


def test_events_are_counted_where_a_model_reads_them():
    for kind in (DNN, MIMN):
        message = "`history_counts` must be false for a model that counts no events. Received: "
        with pytest.raises(UserError, match=message):
            kind(SPEC, rates=True, history_counts=True)
        assert kind(SPEC, history_counts=True).rate_terms is None
    items = {**FEATURES, "item": FEATURES["item"].astype(np.int64)}
    terms = make(history_counts=True)
    got, want = (terms(one, windows=windows_of(one)) for one in (items, FEATURES))
    np.testing.assert_array_equal(got, want)


def test_an_outcome_is_a_binary_field_of_the_history():
    with pytest.raises(UserError, match="`outcome` must be a categorical field of `history`.*'it'"):
        Pooling(SPEC, rates=True, outcome="it")
    for kind, options in ((Pooling, {}), (DNN, {"rates": True}), (MIMN, {"rates": True})):
        with pytest.raises(UserError, match="`outcome` must be left out where no term .*'liked'"):
            kind(SPEC, outcome="liked", **options)
    with pytest.raises(UserError, match="`rates` must be left alone for two towers.*rates=True"):
        TwoTower(SPEC, rates=True)
    plain = copy.deepcopy(rated_dict())
    plain["features"] = [one for one in plain["features"] if one["name"] != "item"]
    plain["sequences"] = []
    with pytest.raises(
        UserError, match="`rates` must be false for a feature spec without .*True for 'rated'"
    ):
        DNN(FeatureSpec.from_dict(plain), rates=True)
