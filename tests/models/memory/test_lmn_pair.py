import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec, random_features, random_labels

from lmn_tf.models import LMNPair, StrongPooling
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()


def test_options_are_those_of_the_host_and_of_the_memory():
    model = LMNPair(SPEC, **SMALL_OPTIONS["lmn_pair"], pooling="sum", pair_pooling="mean")
    assert set(StrongPooling.Options.model_fields) < set(LMNPair.Options.model_fields)
    assert model.pool.pooling == "sum"
    assert model.pair_memories["clicks"].get_config()["num_slots"] == 500
    assert model.pair_memories["clicks"].pooling == "mean"


def test_its_defaults_are_those_of_its_control_and_written_pairs():
    own, control = (kind.Options().values() for kind in (LMNPair, StrongPooling))
    assert {key: own[key] for key in control} == control
    of_pairs = ("pair_values", "pair_pooling", "pair_readings")
    assert [own[key] for key in of_pairs] == ["ease", "sqrtn", "several"]


def test_models_that_were_saved_before_an_option_have_what_was_before_it():
    config = LMNPair(SPEC, **SMALL_OPTIONS["lmn_pair"]).get_config()
    later = {"counts": False, "history_counts": False, "pair_readings": "one"}
    for key, value in later.items():
        assert config.pop(key) != value
    options = LMNPair.from_config(config).options
    assert {key: getattr(options, key) for key in later} == later


def test_without_written_values_it_is_its_control():
    options, features = {"hidden_units": (4,)}, random_features(SPEC)
    control, model = StrongPooling(SPEC, **options), LMNPair(SPEC, **options)
    control.build(), model.build()
    written = ("clicks_pairs", "calibration")  # terms of the memory have no weights yet
    own, other = (
        [weight for weight in one.weights if not any(name in weight.path for name in written)]
        for one in (model, control)
    )
    for weight, want in zip(other, own, strict=True):
        weight.assign(want)
    for one in (control, model):
        one.compile()
        one.train_on_batch(features, random_labels())
    np.testing.assert_allclose(model(features), control(features), rtol=1e-5, atol=1e-6)


def test_keys_need_values_that_are_trained():
    LMNPair(SPEC, hidden_units=(4,), pair_rows="keys", pair_values="trained")
    with pytest.raises(UserError, match=r"`pair_rows` must be .* Received: .*pair_values='ease'$"):
        LMNPair(SPEC, hidden_units=(4,), pair_rows="keys")


def test_what_it_learns_is_of_pairs():
    """The same item is liked after one item and not after another: no other part can tell."""
    features = random_features(SPEC, rows=8, length=1)
    features = {key: np.repeat(value[:1], 8, axis=0) for key, value in features.items()}
    features["clicks/mask"][:] = True
    features["item"] = np.int32([2, 3] * 4)
    features["clicks/item"] = np.int32([[2], [2], [3], [3]] * 2)
    labels = np.float32([[1], [0], [0], [1]] * 2)
    trained = {"pair_values": "trained", "rates": False, "softmax_score": False}
    model = LMNPair(SPEC, hidden_units=(4,), batch_norm=False, softmax_weight=0.0, **trained)
    model.build()
    for variable in model.trainable_variables:
        if "clicks_pairs" not in variable.path:
            variable.assign(np.zeros(variable.shape))  # no host
    model.compile()
    for _ in range(30):
        model.train_on_batch(features, labels)
    assert ((model(features).numpy() > 0) == labels).all()
