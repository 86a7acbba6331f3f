import json

import numpy as np
import pytest
from kitchen_sink import kitchen_sink_spec, random_features, request_features

from lmn_tf.features import FeatureEncoder, WideLogits

SPEC = kitchen_sink_spec()
ROLES = ("user", "item", "context", "cross")


def make(roles=ROLES, num_labels=2):
    wide = WideLogits(SPEC, num_labels, FeatureEncoder(SPEC).sizes, roles)
    wide.build()
    rng = np.random.default_rng(0)
    wide.set_weights([rng.normal(size=weight.shape) for weight in wide.weights])
    return wide


def slow_logits(wide, features, row):
    """The weights of the ids of one row, one at a time."""
    total = np.zeros(wide.num_labels)
    for name, table in wide.tables.items():
        weights, ids = table.embeddings.numpy(), np.atleast_1d(features[name][row])
        shares = np.ones(len(ids))
        if f"{name}/weights" in features:
            shares = features[f"{name}/weights"][row]
        kept = [(weights[i], share) for i, share in zip(ids, shares, strict=True) if i != 0]
        own = sum((share * weight for weight, share in kept), np.zeros(wide.num_labels))
        norm = {
            "sum": 1.0,
            "mean": sum(share for _, share in kept),
            "sqrtn": sum(share**2 for _, share in kept) ** 0.5,
        }[table.combiner]
        total += own / norm if len(ids) > 1 and norm else own
    return total


def test_logits_are_sums_of_weights(run_mode):
    wide, features = make(), random_features(SPEC)
    assert set(wide.tables) == {"user", "age", "item", "tags", "topics", "since", "hour"} | {
        "age_x_tags"
    }
    got = run_mode(lambda f: wide(f))(features)
    want = [slow_logits(wide, features, row) for row in range(6)]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_weights_start_at_0_and_features_of_other_roles_have_none():
    wide = WideLogits(SPEC, 1, FeatureEncoder(SPEC).sizes, ("user",))
    np.testing.assert_array_equal(wide(random_features(SPEC)), np.zeros((6, 1)))
    assert set(wide.tables) == {"user", "age"}


def test_candidates_of_one_user_have_the_logits_of_their_rows():
    wide = make()
    request, windows = request_features(SPEC)
    np.testing.assert_allclose(wide(request), wide(windows), rtol=1e-5, atol=1e-6)


def test_config_round_trip():
    wide, features = make(), random_features(SPEC)
    again = WideLogits.from_config(json.loads(json.dumps(wide.get_config())))
    again(features)
    again.set_weights(wide.get_weights())
    np.testing.assert_array_equal(again(features), wide(features))


def test_roles_without_ids_are_told():
    with pytest.raises(ValueError, match="`roles` must be of features .* Received: roles=()"):
        make(roles=())
