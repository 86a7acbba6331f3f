import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    kitchen_sink_spec,
    random_features,
    request_features,
    shared_features,
)
from padded_batch import padded

from lmn_tf.features import FeatureEncoder
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()


def table_of(encoder, name):
    return encoder.tables[name].embeddings.numpy()


def test_groups_have_their_published_widths(run_mode):
    encoder = FeatureEncoder(SPEC)
    encoder.build()
    features = random_features(SPEC)
    groups = run_mode(lambda f: encoder(f))(features)
    assert encoder.widths == {
        "user": 9,
        "item": 17,
        "context": 8,
        "cross": 4,
        "histories": {"clicks": 11},
    }
    for role in ("user", "item", "context", "cross"):
        assert groups[role].shape == (6, encoder.widths[role])
    clicks = groups["histories"]["clicks"]
    assert clicks["history"].shape == (6, 5, 11)
    assert clicks["target"].shape == (6, 11)
    np.testing.assert_array_equal(clicks["mask"], features["clicks/mask"])


def test_groups_are_what_their_tables_hold():
    encoder = FeatureEncoder(SPEC)
    features = random_features(SPEC)
    groups = encoder(features)
    np.testing.assert_array_equal(
        groups["user"],
        np.concatenate(
            [
                table_of(encoder, "user")[features["user"]],
                table_of(encoder, "age")[features["age"]],
                features["income"][:, None],
            ],
            axis=1,
        ),
    )
    np.testing.assert_array_equal(groups["item"][:, 0], features["rank"])
    np.testing.assert_array_equal(groups["item"][:, -5:], features["picture"])
    target = groups["histories"]["clicks"]["target"]
    np.testing.assert_array_equal(target, groups["item"][:, 1:12])


def test_the_history_is_of_the_candidates_kind():
    clicks = KITCHEN_SINK["sequences"][0]
    spec = kitchen_sink_spec(sequences=[{**clicks, "fields": clicks["fields"][:3]}])
    encoder = FeatureEncoder(spec)
    features = random_features(spec)
    # The candidate's weights are not the history's.
    features["tags/weights"] = np.ones_like(features["tags/weights"])
    for name in ("item", "tags", "topics"):
        features[f"clicks/{name}"][:, 2] = features[name]
    clicks = encoder(features)["histories"]["clicks"]
    valid = features["clicks/mask"][:, 2]
    assert valid.any()
    np.testing.assert_allclose(
        clicks["history"].numpy()[valid, 2], clicks["target"].numpy()[valid], rtol=1e-6
    )


def test_other_fields_are_projected_and_added():
    encoder = FeatureEncoder(SPEC)
    features = random_features(SPEC)
    before = encoder(features)["histories"]["clicks"]["history"]
    changed = {**features, "clicks/dwell": features["clicks/dwell"] + 1.0}
    after = encoder(changed)["histories"]["clicks"]["history"]
    kernel = encoder.projections["clicks/dwell"].kernel.numpy()
    want = features["clicks/mask"][..., None] * kernel[0]
    np.testing.assert_allclose(after - before, want, atol=1e-5)


def test_events_without_fields_like_items_are_as_wide_as_the_spec_says():
    spec = kitchen_sink_spec(
        sequences=[
            {
                "name": "visits",
                "max_length": 9,
                "fields": [{"name": "elapsed", "column": "v_time", "kind": "elapsed_time"}],
            }
        ]
    )
    encoder = FeatureEncoder(spec)
    visits = encoder(random_features(spec))["histories"]["visits"]
    assert visits["history"].shape == (6, 5, 4)
    assert visits["target"].shape == (6, 4)


def test_events_have_a_zero_target_when_there_are_no_items():
    spec = kitchen_sink_spec(
        features=[KITCHEN_SINK["features"][0]],
        tables={},
        sequences=[
            {
                "name": "visits",
                "max_length": 9,
                "fields": [{"name": "elapsed", "column": "v_time", "kind": "elapsed_time"}],
            }
        ],
    )
    encoder = FeatureEncoder(spec)
    groups = encoder(random_features(spec))
    assert groups["item"].shape == (6, 0)
    np.testing.assert_array_equal(groups["histories"]["visits"]["target"], np.zeros((6, 4)))


def test_events_keep_the_ids_that_can_match_the_candidates():
    features = random_features(SPEC)
    encoder = FeatureEncoder(SPEC)
    clicks = encoder(features)["histories"]["clicks"]
    fields = encoder.event_fields("clicks")
    assert sum(width for _, width, _ in fields) == clicks["target"].shape[-1]
    assert list(clicks["ids"]) == [name for name, _, table in fields if table is not None]
    for name, (events, candidate) in clicks["ids"].items():
        np.testing.assert_array_equal(events, features[f"clicks/{name}"])
        np.testing.assert_array_equal(candidate, features[name])


def test_of_two_fields_like_a_feature_the_first_can_match():
    fields = [{"name": name, "like": "item", "column": name} for name in ("bought", "seen")]
    spec = kitchen_sink_spec(sequences=[{"name": "past", "max_length": 9, "fields": fields}])
    features = random_features(spec)
    events, candidate = FeatureEncoder(spec)(features)["histories"]["past"]["ids"]["item"]
    np.testing.assert_array_equal(events, features["past/bought"])
    assert not np.array_equal(events, features["past/seen"])
    np.testing.assert_array_equal(candidate, features["item"])


def test_histories_can_be_left_out():
    encoder = FeatureEncoder(SPEC, histories=False)
    features = {k: v for k, v in random_features(SPEC).items() if not k.startswith("clicks")}
    assert encoder(features)["histories"] == {}
    assert "clicks.elapsed" not in encoder.tables
    assert not any(key.startswith("clicks") for key in encoder.signature())


def test_each_table_is_one_weight_that_carries_its_name():
    encoder = FeatureEncoder(SPEC, name="encoder")
    encoder.build()
    paths = [weight.path for weight in encoder.weights if weight.path.endswith("embeddings")]
    names = ["user", "age", "item", "tag", "topic", "since", "hour", "age_x_tags", "clicks.elapsed"]
    assert paths == [f"encoder/{name}/embeddings" for name in names]


def test_batch_length_and_values_may_be_unknown():
    encoder = FeatureEncoder(SPEC)
    encoder.build()
    signature = encoder.signature()
    assert set(signature) == set(random_features(SPEC)) - {"group"}

    @tf.function(input_signature=[signature])
    def run(features):
        return encoder(features)["histories"]["clicks"]["history"]

    for length in (1, 4):
        features = random_features(SPEC, length=length, values=1)
        del features["group"]
        assert run({k: tf.constant(v) for k, v in features.items()}).shape == (6, length, 11)


def test_symbolic_shapes():
    encoder = FeatureEncoder(SPEC)
    inputs = {
        key: keras.Input(spec.shape[1:], dtype=spec.dtype.name, name=key.replace("/", "_"))
        for key, spec in encoder.signature().items()
    }
    assert encoder(inputs)["histories"]["clicks"]["history"].shape == (None, None, 11)


def test_mixed_precision():
    encoder = FeatureEncoder(SPEC, dtype="mixed_float16")
    groups = encoder(random_features(SPEC))
    assert groups["item"].dtype == tf.float16
    assert groups["histories"]["clicks"]["history"].dtype == tf.float16


def test_config_round_trip_needs_no_vocabulary():
    lookup = {"learn": {"min_count": 2}}
    features = [{**KITCHEN_SINK["features"][0], "lookup": lookup}, *KITCHEN_SINK["features"][1:]]
    spec = kitchen_sink_spec(features=features)
    with pytest.raises(UserError, match="vocabulary of `user` must be learned"):
        FeatureEncoder(spec)
    spec.assets.vocabularies["user"] = ["a", "b", "c"]
    encoder = FeatureEncoder(spec)
    assert encoder.sizes["user"] == 5
    config = json.loads(json.dumps(encoder.get_config()))
    again = FeatureEncoder.from_config(config)
    assert again.sizes == encoder.sizes
    again.build()
    assert table_of(again, "user").shape == (5, 4)


def test_a_missing_column_is_told_with_the_nearest_one():
    features = random_features(SPEC)
    features["itme"] = features.pop("item")
    with pytest.raises(ValueError, match="must hold the column `item`.*Did you mean `itme`?"):
        FeatureEncoder(SPEC)(features)


def test_a_column_of_another_shape_is_told():
    features = random_features(SPEC)
    features["user"] = features["user"][:, None]
    with pytest.raises(ValueError, match=r"features\['user'\]` must have 1 axes.*\(6, 1\)"):
        FeatureEncoder(SPEC)(features)


def test_one_user_and_many_candidates():
    encoder = FeatureEncoder(SPEC)
    request, windows = request_features(SPEC, events=3, candidates=4)
    assert set(encoder.request_signature().columns) == set(request)
    groups, wanted = encoder.encode(request), encoder.encode(windows)
    assert groups["user"].shape[0] == 1
    np.testing.assert_array_equal(groups["user"], wanted["user"][:1])
    np.testing.assert_array_equal(groups["item"], wanted["item"])
    history, want = groups["histories"]["clicks"], wanted["histories"]["clicks"]
    np.testing.assert_array_equal(history.events, want.events)
    np.testing.assert_allclose(history.vectors, want.padded[0], rtol=1e-6)
    np.testing.assert_allclose(history.padded, want.padded[:1], rtol=1e-6)
    newest = history.newest(2)
    np.testing.assert_array_equal(newest.vectors, history.vectors[1:])
    assert int(newest.windows.num_events) == 2


def test_sides_of_a_request():
    sides = FeatureEncoder(SPEC).request_signature()
    assert list(sides.user) == ["user", "age", "income"]
    assert list(sides.pairs) == ["clicks/elapsed"] and "clicks/tags" in sides.events
    assert all(spec.shape[0] == 1 for spec in sides.user.values())
    assert sorted(sides.candidates) == sorted(
        ["rank", "item", "tags", "tags/weights", "topics", "picture", "since", "hour", "age_x_tags"]
    )


def test_fields_like_an_items_elapsed_time_are_those_of_the_pair():
    born = {"name": "age_of_item", "role": "item", "kind": "elapsed_time"}
    clicks = KITCHEN_SINK["sequences"][0]
    fields = [*clicks["fields"], {"name": "age", "column": "c_age", "like": "age_of_item"}]
    spec = kitchen_sink_spec(
        features=[*KITCHEN_SINK["features"], born],
        sequences=[{**clicks, "fields": fields}],
    )
    shared, _ = shared_features(spec)
    encoder = FeatureEncoder(spec)
    got, want = encoder(shared), encoder(padded(shared, spec.sequences, elapsed=("clicks/age",)))
    got, want = (groups["histories"]["clicks"] for groups in (got, want))
    want_history = want["history"] * tf.cast(want["mask"], tf.float32)[..., None]
    np.testing.assert_allclose(got["history"], want_history, rtol=1e-5, atol=1e-6)
    for feature in ("item", "age_of_item"):
        np.testing.assert_array_equal(got["ids"][feature][0], want["ids"][feature][0])


def test_only_the_features_of_some_roles():
    whole, some = FeatureEncoder(SPEC), FeatureEncoder(SPEC, roles=("item", "user"))
    assert some.widths["cross"] == some.widths["context"] == 0 < whole.widths["cross"]
    assert some.widths["item"] == whole.widths["item"]
    left_out = {"since", "hour", "age_x_tags"}
    assert some.tables.keys() == whole.tables.keys() - {"since", "age_x_tags"}
    assert left_out == whole.signature().keys() - some.signature().keys()
    assert FeatureEncoder.from_config(some.get_config()).roles == ("user", "item")
