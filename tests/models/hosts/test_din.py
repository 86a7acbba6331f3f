import numpy as np
import pytest
from kitchen_sink import KITCHEN_SINK, SMALL, SMALL_ATTENTION, kitchen_sink_spec, random_features

from lmn_tf.models import DIN, Pooling

SPEC = kitchen_sink_spec()


def test_order_does_not_matter():
    model, features = DIN(SPEC, **SMALL_ATTENTION), random_features(SPEC)
    turned = {
        key: value[:, ::-1] if key.startswith("clicks/") else value
        for key, value in features.items()
    }
    np.testing.assert_allclose(model(turned), model(features), rtol=1e-4, atol=1e-6)


def test_the_interest_follows_the_candidate():
    model, features = DIN(SPEC, **SMALL_ATTENTION), random_features(SPEC)
    before = model.read_histories(model.encoder.encode(features))[0]
    changed = {**features, "item": features["item"] % 40 + 1}
    after = model.read_histories(model.encoder.encode(changed))[0]
    assert np.abs(after - before).max() > 0


def test_equal_events_give_that_event():
    model, features = DIN(SPEC, **SMALL_ATTENTION), random_features(SPEC)
    for key, cells in features.items():
        if key.startswith("clicks/") and not key.endswith("mask"):
            cells[:] = cells[:, :1]
    groups = model.encoder.encode(features)
    interest = model.read_histories(groups)[0]
    np.testing.assert_allclose(
        interest, groups["histories"]["clicks"]["history"][:, 0], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("pooling", ["mean", "sqrtn"])
def test_without_attention_it_is_pooling(pooling):
    features, options = random_features(SPEC), {**SMALL, "pooling": pooling}
    pooling, din = Pooling(SPEC, **options), DIN(SPEC, attention=False, **options)
    pooling.build()
    din.build()
    din.set_weights(pooling.get_weights())
    np.testing.assert_array_equal(din(features), pooling(features))


@pytest.mark.parametrize("weights", ["softmax", "raw"])
@pytest.mark.parametrize("activation", ["sigmoid", "dice", "prelu", "relu"])
def test_options(weights, activation):
    model = DIN(
        SPEC,
        attention_activation=activation,
        attention_weights=weights,
        add_pooling=True,
        **SMALL_ATTENTION,
    )
    features = random_features(SPEC)
    assert len(model.read_histories(model.encoder.encode(features))) == 2
    assert np.isfinite(model(features)).all()


def test_each_sequence_has_its_own_attention():
    second = {**KITCHEN_SINK["sequences"][0], "name": "buys"}
    spec = kitchen_sink_spec(sequences=[*KITCHEN_SINK["sequences"], second])
    model, features = DIN(spec, **SMALL_ATTENTION), random_features(spec)
    model.build()
    assert len(model.read_histories(model.encoder.encode(features))) == 2
    names = {weight.path.split("/")[1] for weight in model.weights}
    assert {"clicks_attention", "buys_attention"} <= names
