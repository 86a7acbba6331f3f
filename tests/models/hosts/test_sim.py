import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    slim_spec,
)

from lmn_tf.models import DIN, SIM, registry
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["sim"]


def make(**options):
    keras.utils.set_random_seed(1)
    model = SIM(SPEC, **{**SMALL, **options})
    model.build()
    return model


def readings(model, features):
    return [part.numpy() for part in model.read_histories(model.encoder.encode(features))]


@pytest.mark.parametrize("search", ["soft", "hard"])
def test_found_events_by_sorting(search):
    features = random_features(SPEC, rows=20, length=8)
    model = make(search=search, search_field="tags" if search == "hard" else None)
    one = model.encoder.encode(features)["histories"]["clicks"]
    found = readings(model, features)[1]
    history, mask, target = (one[name].numpy() for name in ("history", "mask", "target"))
    attention = model.found_attention["clicks"]
    for row, places in enumerate(searched(model, features, history, target)):
        places = [place for place in places if mask[row, place]][:3]
        if not places:
            assert (found[row] == 0).all()
            continue
        events = history[row, places][None]
        np.testing.assert_allclose(
            found[row], attention(events, target[row : row + 1])[0], rtol=1e-4, atol=1e-6
        )


def searched(model, features, history, target):
    """All places of each row that may be found, the best first."""
    if model.search == "soft":
        search = model.searches["clicks"]
        events, candidate = search.event_kernel.numpy(), search.target_kernel.numpy()
        scores = np.einsum("ble,be->bl", history @ events, target @ candidate)
        return np.argsort(-scores, axis=1)
    ids, wanted = features["clicks/tags"], features["tags"]
    shared = [
        [bool(set(event) & set(tags) - {0}) for event in events]
        for events, tags in zip(ids, wanted, strict=True)
    ]
    assert 0 < np.mean(shared) < 1
    return [np.flatnonzero(row)[::-1] for row in shared]


def test_with_room_for_all_events_it_is_attention_on_the_whole_history():
    features = random_features(SPEC)
    model = make(search_top_k=30)
    one = model.encoder.encode(features)["histories"]["clicks"]
    whole = model.found_attention["clicks"](one["history"], one["target"], mask=one["mask"])
    np.testing.assert_allclose(readings(model, features)[1], whole, rtol=1e-4, atol=1e-6)


def test_the_order_of_events_does_not_matter_to_soft_search():
    model, features = make(search_top_k=2, short_length=20), random_features(SPEC)
    turned = {
        key: value[:, ::-1] if key.startswith("clicks/") else value
        for key, value in features.items()
    }
    for one, other in zip(readings(model, turned), readings(model, features), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_hard_search_finds_nothing_where_nothing_matches():
    model, features = make(search="hard", search_field="item"), random_features(SPEC)
    features["item"][:] = 41  # no event has it
    features["clicks/item"] %= 41
    assert (readings(model, features)[1] == 0).all()
    features["item"][:] = features["clicks/item"][:, 0] = 0  # id 0 is padding
    assert (readings(model, features)[1] == 0).all()


def test_hard_search_finds_no_padding_whatever_it_holds():
    model, features = make(search="hard", search_field="item"), random_features(SPEC)
    features["clicks/item"][:, 0] = features["item"]
    found, mask = readings(model, features), features["clicks/mask"]
    assert (found[1] != 0).any() and not mask.all()
    features["clicks/item"] = np.where(mask, features["clicks/item"], features["item"][:, None])
    for one, other in zip(readings(model, features), found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_short_history_is_that_of_din():
    features = random_features(SPEC)
    features["clicks/mask"][1, 1:] = features["clicks/mask"][2] = False
    model, din = make(short_length=2), DIN(SPEC, hidden_units=(8, 4), attention_units=(6,))
    cut = dict(features)
    for key, cells in features.items():
        if key.startswith("clicks/"):
            count = features["clicks/mask"].sum(1)
            places = np.clip(count[:, None] + np.array([-2, -1]), 0, 4)
            cut[key] = np.stack([row[place] for row, place in zip(cells, places, strict=True)])
    cut["clicks/mask"] = np.arange(2) >= 2 - np.minimum(count, 2)[:, None]
    din.build()
    din.encoder.set_weights(model.encoder.get_weights())
    din.attention_layers["clicks"].set_weights(model.attention_layers["clicks"].get_weights())
    np.testing.assert_allclose(
        readings(model, features)[0], readings(din, cut)[0], rtol=1e-4, atol=1e-6
    )


def gradients(weight):
    """Of the projections, from the loss in training with the given weight of the search's."""
    model = make(search_loss_weight=weight)
    model.compile(run_eagerly=True)
    features, labels = random_features(SPEC), random_labels()
    search = model.searches["clicks"]
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = model.compute_loss(features, labels, logits, training=True)
    found = tape.gradient(loss, [search.event_kernel.value, search.target_kernel.value])
    return [np.abs(tf.convert_to_tensor(one)).max() for one in found]


def test_projections_learn_from_the_searchs_own_loss_alone():
    assert gradients(0.0) == [0, 0]
    one, two = gradients(1.0), gradients(2.0)
    assert min(one) > 0
    np.testing.assert_allclose(two, 2 * np.array(one), rtol=1e-4)


def test_the_loss_is_the_weighted_sum_of_both():
    features, labels = random_features(SPEC), random_labels()
    model = make(search_loss_weight=0.5)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    one = model.encoder.encode(features)["histories"]["clicks"]
    search = model.searches["clicks"]
    extra = search(one["history"], one["target"], mask=one["mask"]).numpy()
    logits = model(features, training=True).numpy()
    want = [np.mean(np.log1p(np.exp(x)) - labels * x) for x in (logits, extra)]
    logs = model.train_on_batch(features, labels, return_dict=True)
    assert logs["loss"] == pytest.approx(want[0] + 0.5 * want[1], rel=1e-5)
    assert logs["search_loss"] == pytest.approx(want[1], rel=1e-5)


def test_hard_search_learns_no_search():
    model = make(search="hard")
    assert model.searches == {}
    assert model.search_fields == {"clicks": "tags"}  # the one with the fewest ids
    model.compile(run_eagerly=True)
    logs = model.train_on_batch(random_features(SPEC), random_labels(), return_dict=True)
    assert "search_loss" not in logs


def test_each_sequence_has_its_own_search():
    clicks = SPEC.to_dict()["sequences"][0]
    spec = slim_spec(sequences=[clicks, {**clicks, "name": "buys"}])
    model = SIM(spec, **SMALL)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(spec), random_labels())).all()
    assert len(model.read_histories(model.encoder.encode(random_features(spec)))) == 4
    names = {weight.path.split("/")[1] for weight in model.weights}
    assert {"clicks_search", "buys_search", "buys_found_attention"} <= names


def test_bad_options():
    with pytest.raises(UserError, match="`like`: item, tags. .*Did you mean `tags`?"):
        SIM(SPEC, search="hard", search_field="tag")
    clicks = KITCHEN_SINK["sequences"][0]
    spec = kitchen_sink_spec(sequences=[{**clicks, "fields": clicks["fields"][3:]}])
    with pytest.raises(UserError, match="there is none. Received: search_field=None"):
        SIM(spec, search="hard")
    with pytest.raises(
        UserError, match="`search_loss_weight` of SIM must be a number of at least 0"
    ):
        SIM(SPEC, search_loss_weight=-1.0)
    with pytest.raises(
        UserError, match="`search_top_k` of model `sim` must be an integer of .* 1. .*=0"
    ):
        registry.build("sim", SPEC, {"search_top_k": 0})
    with pytest.raises(
        UserError, match="`short_length` of model `sim` must be an integer of at least 1"
    ):
        registry.build("sim", SPEC, {"short_length": 0})
