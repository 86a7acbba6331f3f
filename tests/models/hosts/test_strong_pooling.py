import numpy as np
import pytest
from kitchen_sink import SMALL, kitchen_sink_spec, random_features

from lmn_tf.models import Pooling, StrongPooling
from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()
OFF = {
    "pooling": "mean",
    "newest_events": 0,
    "interaction": "none",
    "wide": False,
    "rates": False,
    "counts": False,
    "history_counts": False,
    "softmax_weight": 0.0,
    "softmax_score": False,
}


def test_it_is_pooling_with_all_that_it_has_by_default():
    model = StrongPooling(SPEC, **SMALL)
    assert model.pool.pooling == "sqrtn" and model.feature_interaction.kind == "product"
    assert model.wide_logits is not None and model.has_batch_softmax
    history = "events of clicks", "repeats in clicks"
    counts = (*history, "rows of item", "rows of user", "new item")
    assert model.term_names == ("trained", "item", "user", *counts, "softmax_score")
    assert model.calibration.slopes
    plain = StrongPooling(SPEC, **SMALL, rates=False)  # without which there are no counts
    assert plain.term_names == ("trained", "softmax_score") and not plain.calibration.slopes


def test_without_its_parts_it_is_pooling():
    plain, model = Pooling(SPEC, **SMALL), StrongPooling(SPEC, **SMALL, **OFF)
    assert model.options.values() == plain.options.values()
    plain.build(), model.build()
    for weight, want in zip(model.weights, plain.weights, strict=True):
        weight.assign(want)
    features = random_features(SPEC)
    np.testing.assert_array_equal(model(features), plain(features))


def test_other_options_are_those_of_pooling():
    plain, strong = (kind.Options().values() for kind in (Pooling, StrongPooling))
    assert {key for key in plain if plain[key] != strong[key]} == set(OFF)
    assert {key: plain[key] for key in OFF} == OFF and plain.keys() == strong.keys()


def test_a_model_on_it_has_its_defaults():
    class Memorizing(MemoryPlugin, StrongPooling):
        pass

    options = Memorizing.Options().values()
    strong = StrongPooling.Options().values()
    assert {key: options[key] for key in strong} == strong


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "`rates` must be false for a feature spec without .*Received: rates=True for 'kitch"),
        ({"rates": False}, "`softmax_weight` must be 0 for a feature spec without a categorical"),
    ],
)
def test_candidates_need_ids(options, message):
    features = [one for one in SPEC.to_dict()["features"] if one["name"] in ("user", "topics")]
    sequence = {"name": "clicks", "max_length": 5, "fields": [{"name": "x", "like": "topics"}]}
    tables = {"topic": {"dim": 2}}
    spec = kitchen_sink_spec(features=features, sequences=[sequence], tables=tables)
    with pytest.raises(UserError, match=message):
        StrongPooling(spec, **SMALL, **options)
    StrongPooling(spec, **SMALL, **OFF)
