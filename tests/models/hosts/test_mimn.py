import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    repadded,
    shared_features,
    slim_spec,
)
from passed_options import check_passed

from lmn_tf.models import MIMN
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()
SLIM = slim_spec()
SMALL = SMALL_OPTIONS["mimn"]


def built(spec=SLIM, **options):
    model = MIMN(spec, **{**SMALL, **options})
    model.build()
    return model


def events_of(features, start, stop):
    """New events alone, without what is known of users and candidates."""
    return {key: one[:, start:stop] for key, one in features.items() if key.startswith("clicks/")}


@pytest.mark.parametrize("options", [{}, {"utilization": "released", "num_write_heads": 2}])
def test_steps_give_what_the_whole_history_gives(options):
    model, features = built(**options), random_features(SLIM)
    want = model(features)
    for places in (range(6), (0, 2, 5), (0, 5)):
        state = model.initial_state(6)
        for start, stop in zip(places, places[1:], strict=False):
            state = model.step(state, events_of(features, start, stop))
        candidates = {key: one for key, one in features.items() if not key.startswith("clicks/")}
        np.testing.assert_allclose(model.score(state, candidates), want, rtol=1e-4, atol=1e-5)


def test_steps_take_events_and_windows():
    model, (features, padded) = built(), shared_features(SLIM)
    state = model.step(model.initial_state(9), features)
    twin = model.step(model.initial_state(9), padded)
    tf.nest.map_structure(np.testing.assert_array_equal, state, twin)
    np.testing.assert_allclose(model.score(state, features), model(features), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_steps_in_graphs_take_padding_on_either_side():
    model, features = built(SPEC), random_features(SPEC)
    step = tf.function(model.step)
    for left in (False, True):
        wide = repadded(features, SPEC, left=left, extra=3)
        state = step(model.initial_state(6), events_of(wide, 0, 8))
        score = tf.function(model.score)(state, features)
        np.testing.assert_allclose(score, model(features), rtol=1e-4, atol=1e-5)


def test_the_state_does_not_depend_on_candidates():
    model, features = built(), random_features(SLIM)
    changed = {**features, "item": features["item"] % 40 + 1}
    states = [model.step(model.initial_state(6), one) for one in (features, changed)]
    tf.nest.map_structure(np.testing.assert_array_equal, *states)
    assert np.abs(model.score(states[0], changed) - model.score(states[0], features)).max() > 0


def test_sequences_step_by_themselves():
    second = {**KITCHEN_SINK["sequences"][0], "name": "buys"}
    spec = kitchen_sink_spec(sequences=[*KITCHEN_SINK["sequences"], second])
    model, features = built(spec), random_features(spec)
    start = model.initial_state(6)
    state = model.step(start, events_of(features, 0, 5))
    tf.nest.map_structure(np.testing.assert_array_equal, state["buys"], start["buys"])
    state = model.step(state, {k: v for k, v in features.items() if k.startswith("buys/")})
    np.testing.assert_allclose(model.score(state, features), model(features), rtol=1e-4, atol=1e-5)


def test_sequences_log_their_losses_by_themselves():
    second = {**KITCHEN_SINK["sequences"][0], "name": "buys"}
    spec = kitchen_sink_spec(sequences=[*KITCHEN_SINK["sequences"], second])
    model = MIMN(spec, **{**SMALL, "utilization_weight": 0.5})
    model.compile(run_eagerly=True)
    logs = model.train_on_batch(random_features(spec), random_labels(), return_dict=True)
    assert {"clicks_utilization_loss", "buys_utilization_loss"} <= set(logs)


def test_every_option_reaches_the_memory():
    options = {
        "num_slots": 3,
        "controller_units": 5,
        "num_read_heads": 2,
        "num_write_heads": 3,
        "utilization": "released",
        "utilization_weight": 0.5,
        "induction_top_k": 2,
        "attention_units": (7,),
        "static_keys": True,
        "auxiliary_units": (6,),
        "auxiliary_weight": 0.25,
    }
    layer = MIMN(SLIM, **options).interests["clicks"]
    check_passed("mimn", layer, options, controller_units="units")


def test_options_change_the_parts():
    features = random_features(SLIM)
    model = built(induction_top_k=0, utilization="none", static_keys=True)
    part = model.read_histories(model.encoder.encode(features))[0]
    assert part.shape[-1] == 3 * model.encoder.widths["histories"]["clicks"]
    features["clicks/mask"][:2] = False
    part = built().read_histories(model.encoder.encode(features))[0]
    np.testing.assert_array_equal(part[:2], np.zeros_like(part[:2]))


def test_losses_of_the_memory_are_logged_in_training_only():
    model = built(auxiliary_weight=0.5)
    model.compile(run_eagerly=True)
    data = random_features(SLIM), random_labels()
    losses = {"utilization_loss", "auxiliary_loss"}
    assert losses <= set(model.train_on_batch(*data, return_dict=True))
    assert not losses & set(model.evaluate(*data, verbose=0, return_dict=True))


def test_events_must_be_of_a_sequence():
    model = built()
    with pytest.raises(UserError, match="`events` must hold the columns of a sequence: clicks"):
        model.step(model.initial_state(6), {"item": np.ones(6, "int32")})
