import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL,
    kitchen_sink_spec,
    random_features,
    random_labels,
    repadded,
)
from passed_options import check_passed

from lmn_tf.models import IMN, Pooling

SPEC = kitchen_sink_spec()
SMALL_IMN = {**SMALL, "attention_units": 6}


def make(spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = IMN(spec, **{**SMALL_IMN, **options})
    model.build()
    return model


def turned(features):
    return {
        key: value[:, ::-1] if key.startswith("clicks/") else value
        for key, value in features.items()
    }


def test_only_positions_make_the_order_matter():
    features = random_features(SPEC)
    without = make(positions="none")
    np.testing.assert_allclose(without(turned(features)), without(features), rtol=1e-4, atol=1e-6)
    for positions in ("learned", "sinusoidal"):
        model = make(positions=positions)
        assert np.abs(model(turned(features)) - model(features)).max() > 1e-6


def test_every_option_reaches_the_memory():
    options = {
        "num_walks": 2,
        "num_enhancements": 1,
        "attention_units": 6,
        "attention_activation": "tanh",
        "attention_weights": "softmax",
        "share_iterations": False,
        "cross": "delayed",
        "euclidean": False,
        "attention": False,
        "iterative": False,
    }
    names = {
        "attention_units": "hidden_units",
        "attention_activation": "activation",
        "attention_weights": "weight_normalization",
    }
    check_passed("imn", IMN(SPEC, **options).memories["clicks"], options, **names)
    layer = IMN(SPEC, normalize="length").memories["clicks"]  # of sigmoid weights only
    check_passed("imn", layer, {"normalize": "length"})


@pytest.mark.parametrize("left", [False, True])
def test_positions_are_those_of_valid_events(left):
    model, features = make(), random_features(SPEC)
    wide = repadded(features, SPEC, left=left, extra=3)
    np.testing.assert_allclose(model(wide), model(features), rtol=1e-5, atol=1e-6)


def test_the_interest_follows_the_candidate_even_without_a_history():
    model, features = make(), random_features(SPEC)
    features["clicks/mask"][:] = False
    before = model.read_histories(model.encoder.encode(features))[0]
    changed = {**features, "item": features["item"] % 40 + 1}
    after = model.read_histories(model.encoder.encode(changed))[0]
    assert np.abs(after - before).max() > 1e-4


def test_without_attention_it_is_pooling():
    features = random_features(SPEC)
    pooling, imn = Pooling(SPEC, **SMALL), make(attention=False, positions="none")
    pooling.build()
    imn.set_weights(pooling.get_weights())
    np.testing.assert_array_equal(imn(features), pooling(features))


@pytest.mark.parametrize(
    "options",
    [
        {"num_walks": 2, "num_enhancements": 0, "attention_weights": "softmax"},
        {"cross": "delayed", "euclidean": False, "normalize": "length"},
        {"iterative": False, "positions": "sinusoidal", "attention_activation": "tanh"},
        {"num_walks": 0, "num_enhancements": 0},
        {"share_iterations": False},
    ],
)
def test_options(options):
    model = make(**options)
    assert np.isfinite(model(random_features(SPEC))).all()
    assert IMN.from_config(model.get_config()).get_config() == model.get_config()


def test_evaluation_tells_the_entropy_of_each_walk():
    model, features = make(num_walks=2), random_features(SPEC)
    features["clicks/mask"][0] = False
    model.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensors((features, random_labels())).repeat(2)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    told = []
    with model.memories["clicks"].watched(lambda weights, mask: told.extend(weights)):
        model(features)
    for walk, weights in enumerate(told):
        share = weights.numpy()[1:]
        share /= share.sum(1, keepdims=True)
        want = -np.where(share > 0, share * np.log(np.maximum(share, 1e-30)), 0.0).sum(1).mean()
        assert logs[f"attention_entropy_{walk + 1}"] == pytest.approx(want, rel=1e-4)
    assert len(told) == 2


@pytest.mark.slow
def test_only_evaluation_tells_it():
    model = make(num_walks=1)
    model.compile()
    data = tf.data.Dataset.from_tensors((random_features(SPEC), random_labels()))
    history = model.fit(data, validation_data=data, verbose=0).history
    assert "val_attention_entropy_1" in history and "attention_entropy_1" not in history
    model.predict(data, verbose=0)
    assert make(attention=False).evaluation_metrics() == []


def test_each_sequence_has_its_own_memory():
    second = {**KITCHEN_SINK["sequences"][0], "name": "buys"}
    spec = kitchen_sink_spec(sequences=[*KITCHEN_SINK["sequences"], second])
    model = make(spec, num_walks=1)
    model.compile(run_eagerly=True)
    logs = model.evaluate(random_features(spec), random_labels(), verbose=0, return_dict=True)
    assert {"clicks_attention_entropy_1", "buys_attention_entropy_1"} <= set(logs)
    names = {weight.path.split("/")[1] for weight in model.weights}
    assert {"clicks_memory", "buys_memory", "clicks_positions", "buys_positions"} <= names


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_evaluates_in_mixed_precision(policy):
    data = tf.data.Dataset.from_tensors((random_features(SPEC), random_labels()))
    found = []
    for dtype in (policy, "float32"):
        model = make(dtype=dtype, num_walks=1)
        model.compile(run_eagerly=True)
        logs = model.evaluate(data, verbose=0, return_dict=True)
        found.append(logs["attention_entropy_1"])
    assert found[0] == pytest.approx(found[1], rel=0.02)
