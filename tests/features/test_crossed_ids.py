import itertools

import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL,
    random_features,
    request_features,
    shared_features,
    slim_spec,
)

from lmn_tf.features import FeatureEncoder
from lmn_tf.features.crossed_ids import CrossedIds
from lmn_tf.models import DIN
from lmn_tf.specs.errors import UserError

CLICKS = {**KITCHEN_SINK["sequences"][0]}
FIELDS = [
    {"name": "item", "column": "c_item", "like": "item"},
    {"name": "action", "column": "c_action", "kind": "categorical", "lookup": {"identity": 2}},
]
CROSS = {"name": "item_action", "of": ["item", "action"]}


def crossed_spec(lookup=None, **cross):
    action = {**FIELDS[1], "lookup": lookup or FIELDS[1]["lookup"]}
    clicks = {**CLICKS, "fields": [FIELDS[0], action], "crosses": [{**CROSS, **cross}]}
    return slim_spec(sequences=[clicks])


def test_every_combination_has_an_id(run_mode):
    cross = CrossedIds("clicks/x", ("clicks/a", "clicks/b", "clicks/c"), (4, 3, 2), "x")
    parts = np.array([*itertools.product(range(4), range(3), range(2))], "int32").T
    got = run_mode(cross.ids)([tf.constant(part) for part in parts]).numpy()
    want = [0 if 0 in (a, b, c) else (a * 3 + b) * 2 + c for a, b, c in parts.T]
    assert got.tolist() == want
    known = [number for number in want if number]
    assert len(known) == len(set(known)) and max(known) < cross.num_ids == 24


def test_the_encoder_adds_projected_rows_of_combinations():
    spec, plain = crossed_spec(), slim_spec(sequences=[{**CLICKS, "fields": FIELDS}])
    encoder, without = FeatureEncoder(spec), FeatureEncoder(plain)
    encoder.build()
    without.build()
    taken = {weight.path.split("/", 1)[1]: weight for weight in encoder.weights}
    for weight in without.weights:
        weight.assign(taken[weight.path.split("/", 1)[1]])
    features = random_features(spec)
    got, base = (one(features)["histories"]["clicks"]["history"] for one in (encoder, without))
    assert encoder.sizes["clicks.item_action"] == 42 * 4
    table = encoder.tables["clicks.item_action"].embeddings.numpy()
    kernel = encoder.projections["clicks/item_action"].kernel.numpy()
    ids = features["clicks/item"] * 4 + features["clicks/action"]
    want = np.where(features["clicks/mask"][..., None], table[ids] @ kernel, 0)
    np.testing.assert_allclose(got - base, want, atol=1e-6)
    assert encoder.signature().keys() == without.signature().keys()


def test_a_model_keeps_the_sizes_and_scores_every_form_of_a_batch():
    model = DIN(crossed_spec(), **SMALL)
    model.build()
    again = DIN.from_config(model.get_config())
    assert again.encoder.sizes["clicks.item_action"] == 42 * 4
    again.build()
    again.set_weights(model.get_weights())
    for batches in (shared_features(model.spec), request_features(model.spec)):
        one, other = (again(batch).numpy() for batch in batches)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(one, model(batches[0]))


def test_too_many_combinations_are_told():
    spec = crossed_spec(lookup={"hash": 2**30})
    with pytest.raises(UserError, match="`of` of `clicks.item_action` .* combinations .* 42 \\* "):
        FeatureEncoder(spec)
