"""Models whose vocabularies grow give the scores that they had for the unknown ids."""

import numpy as np
import pytest
from growing_shop import shop
from grown_model import arrays, make
from kitchen_sink import random_features

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.growth.growth import carried_over, grown_weights
from lmn_tf.training.growth.row_sources import row_sources
from lmn_tf.training.saving.checkpoints import assign
from lmn_tf.training.saving.variable_paths import keyed_variables

TRAINED = {"pair_values": "trained", "pair_slots": None, "softmax_weight": 0.1}
KEYED = {"pair_keys": 5, "pair_top_k": 2, **TRAINED}
MODELS = [
    ("pooling", {"softmax_weight": 0.1, "softmax_score": True, "wide": True}),
    ("strong_pooling", {}),
    ("two_tower", {}),
    ("lmn_pair", TRAINED),
    ("lmn_pair", {**KEYED, "pair_rows": "keys"}),
    ("lmn_pair", {**KEYED, "pair_columns": "keys"}),
    ("lmn_pair", {**KEYED, "pair_rows": "keys", "pair_columns": "keys"}),
    ("lmn_pair", {"pair_values": "ease"}),
]


CROSSES = [(), ({"name": "item_liked", "of": ["item", "liked"]},)]


def trained(model):
    """Moves every variable as training may: pairs of unknown candidates have no value."""
    rng = np.random.default_rng(0)
    for variable in [*model.trainable_variables, *model.optimizer.variables]:
        if len(variable.shape):
            variable.assign(variable + 0.3 * rng.random(variable.shape))
    for memory in getattr(model, "pair_memories", {}).values():
        values = np.array(memory.memory_values)
        if not hasattr(memory, "row_codes"):
            cells = values.reshape(memory.num_rows, memory.num_columns)
            cells[:2] = cells[:, :2] = 0.0
        elif "ids" in (memory.row_codes, memory.column_codes):
            values[:2] = 0.0
        memory.memory_values.assign(values)
    return model


def items_of(features):
    return [key for key in features if key.rpartition("/")[2] == "item"]


@pytest.mark.parametrize("crosses", CROSSES)
@pytest.mark.parametrize(("name", "options"), MODELS)
def test_new_ids_have_the_scores_of_the_unknown_one(name, options, crosses):
    old = trained(make(name, shop("abcd", crosses), **options))
    new = make(name, shop("bxacyd", crosses), seed=2, **options)
    sources = row_sources(old.spec, new.spec)
    values = carried_over(new, arrays(old), sources)
    variables = keyed_variables(new, new.optimizer)
    assign({key: variables[key] for key in values}, values, "The older model")
    features = random_features(new.spec, rows=64, seed=3)
    before = dict(features)
    for key in items_of(features):
        before[key] = sources["item"].values[features[key]].astype(np.int32)
    np.testing.assert_allclose(new(features), old(before), rtol=1e-5, atol=1e-6)
    assert np.std(old(before)) > 0.01


def test_rows_of_pairs_and_statistics_follow_their_ids():
    old = trained(make("lmn_pair", shop("abcd"), **TRAINED))
    new = make("lmn_pair", shop("bxacyd"), seed=2, **TRAINED)
    batches = np.random.default_rng(1).random((6, 3))
    old.softmax_probability.batches.assign(batches)
    sources = row_sources(old.spec, new.spec)
    found = carried_over(new, arrays(old), sources)
    places = sources["item"].values
    before = np.asarray(old.pair_memories["seen"].memory_values).reshape(6, 6)
    [key] = [key for key in found if key.endswith("seen_pairs/memory_values")]
    np.testing.assert_array_equal(found[key].reshape(8, 8), before[np.ix_(places, places)])
    key = key.replace("model/", "optimizer/") + "/accumulator"
    is_new = sources["item"].state < 0
    state = np.asarray(arrays(old)[key]).reshape(6, 6)[np.ix_(places, places)]
    state[is_new] = state[:, is_new] = 0.0
    np.testing.assert_array_equal(found[key].reshape(8, 8), state)
    [key] = [key for key in found if key.endswith("softmax_probability/batches")]
    want = np.where(is_new[:, None], 0.0, batches[places])
    np.testing.assert_array_equal(found[key], want)


def test_ids_that_a_cross_of_features_hashes_must_stay():
    """The rows of the cross would be those of other combinations."""

    def crossed(items):
        plain = shop(items).to_dict()
        cross = {"name": "both", "role": "cross", "kind": "cross", "of": ["item", "user"]}
        cross["lookup"] = {"hash": 9}
        spec = FeatureSpec.from_dict({**plain, "features": [*plain["features"], cross]})
        spec.assets.vocabularies["item"] = list(items)
        return spec

    assert "both" in row_sources(crossed("abc"), crossed("abcd"))
    for items in ("acb", "ab"):
        message = "`item` must keep its ids for a warm start, since the cross `both` hashes them"
        with pytest.raises(UserError, match=message):
            row_sources(crossed("abc"), crossed(items))


def test_hashed_pairs_stay_with_the_same_ids_only():
    options = {"pair_values": "trained", "pair_slots": 7}
    old = make("lmn_pair", shop("abcd"), **options)
    same = make("lmn_pair", shop("abcd"), seed=2, **options)
    values = grown_weights(same, arrays(old), row_sources(old.spec, same.spec))
    [key] = [key for key in values if key.endswith("seen_pairs/memory_values")]
    np.testing.assert_array_equal(values[key], old.pair_memories["seen"].memory_values)
    more = make("lmn_pair", shop("abcd"), seed=2, **{**options, "pair_slots": 8})
    with pytest.raises(UserError, match=r"memory_values` must have the shape \(7, 1\) of"):
        grown_weights(more, arrays(old), row_sources(old.spec, more.spec))
    for items in ("abcde", "abdc", "abc"):
        new = make("lmn_pair", shop(items), seed=2, **options)
        message = r"`model.pair_slots` must be null for a warm start with other ids, .*pair_slots=7"
        with pytest.raises(UserError, match=message):
            grown_weights(new, arrays(old), row_sources(old.spec, new.spec))
