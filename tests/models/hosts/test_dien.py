import keras
import numpy as np
import pytest
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
)
from passed_options import check_passed

from lmn_tf.models import DIEN

SPEC = kitchen_sink_spec()
SMALL = SMALL_OPTIONS["dien"]


def interest(model, features):
    return model.read_histories(model.encoder.encode(features))[0].numpy()


def test_the_interest_follows_the_candidate_and_the_order():
    model, features = DIEN(SPEC, **SMALL), random_features(SPEC)
    before = interest(model, features)
    changed = {**features, "item": features["item"] % 40 + 1}
    assert np.abs(interest(model, changed) - before).max() > 0
    turned = {
        key: value[:, ::-1] if key.startswith("clicks/") else value
        for key, value in features.items()
    }
    assert np.abs(interest(model, turned) - before).max() > 1e-4


def test_an_empty_history_gives_0():
    model, features = DIEN(SPEC, add_pooling=True, **SMALL), random_features(SPEC)
    features["clicks/mask"][:2] = False
    for part in model.read_histories(model.encoder.encode(features)):
        np.testing.assert_array_equal(part[:2], np.zeros_like(part[:2]))


def test_every_option_reaches_the_layer():
    options = {
        "variant": "agru",
        "attention": "mlp",
        "attention_units": (7,),
        "attention_activation": "relu",
        "auxiliary_units": (6,),
        "auxiliary_weight": 0.25,
    }
    check_passed("dien", DIEN(SPEC, **options).evolutions["clicks"], options)


@pytest.mark.parametrize("variant", ["augru", "released", "agru", "aigru"])
@pytest.mark.parametrize("attention", ["bilinear", "mlp"])
def test_options(variant, attention):
    model = DIEN(SPEC, variant=variant, attention=attention, add_pooling=True, **SMALL)
    features = random_features(SPEC)
    groups = model.encoder.encode(features)
    one, parts = groups["histories"]["clicks"], model.read_histories(groups)
    pooled = np.where(one["mask"][..., None], one["history"], 0).sum(axis=1)
    np.testing.assert_allclose(parts[1], pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts[2], pooled * one["target"], rtol=1e-5, atol=1e-6)
    assert np.isfinite(model(features)).all()


def test_the_auxiliary_loss_is_logged_and_weighted():
    losses = []
    for weight in (0.0, 1.0, 3.0):
        keras.utils.set_random_seed(1)
        model = DIEN(SPEC, **{**SMALL, "auxiliary_weight": weight})
        model.compile(run_eagerly=True)
        logs = model.train_on_batch(random_features(SPEC), random_labels(), return_dict=True)
        losses.append(logs["loss"])
        assert ("auxiliary_loss" in logs) == (weight > 0)
    plain, auxiliary = losses[0], logs["auxiliary_loss"]
    assert auxiliary > 0
    # Without the auxiliary network the other layers start from other numbers.
    np.testing.assert_allclose(losses[2] - losses[1], 2 * auxiliary, rtol=1e-4)
    assert np.isfinite(plain)


def test_the_auxiliary_loss_is_logged_in_training_only():
    model = DIEN(SPEC, **{**SMALL, "auxiliary_weight": 1.0})
    model.compile(run_eagerly=True)
    data = random_features(SPEC), random_labels()
    assert "auxiliary_loss" in model.train_on_batch(*data, return_dict=True)
    assert "auxiliary_loss" not in model.evaluate(*data, verbose=0, return_dict=True)


def test_each_sequence_has_its_own_units():
    second = {**KITCHEN_SINK["sequences"][0], "name": "buys"}
    spec = kitchen_sink_spec(sequences=[*KITCHEN_SINK["sequences"], second])
    model = DIEN(spec, **{**SMALL, "auxiliary_weight": 1.0})
    model.compile(run_eagerly=True)
    logs = model.train_on_batch(random_features(spec), random_labels(), return_dict=True)
    assert {"clicks_auxiliary_loss", "buys_auxiliary_loss"} <= set(logs)
    names = {weight.path.split("/")[1] for weight in model.weights}
    assert {"clicks_evolution", "buys_evolution"} <= names
