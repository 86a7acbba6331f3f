import grown_model
import numpy as np
import pytest
import tensorflow as tf
from grown_model import arrays
from kitchen_sink import random_features, random_labels, slim_spec
from replicas import replicas

from lmn_tf.callbacks import OpenKeys
from lmn_tf.optimizers import RowWiseAdagrad, RowWiseAdam
from lmn_tf.specs.errors import UserError
from lmn_tf.training.growth.growth import carried_over, grown_row_state, grown_weights
from lmn_tf.training.growth.row_sources import RowSources, row_sources
from lmn_tf.training.saving.checkpoints import assign
from lmn_tf.training.saving.variable_paths import keyed_variables

SPEC = slim_spec()


def make(name, seed, **options):
    return grown_model.make(name, SPEC, seed, **options)


def shaken(model):
    """Moves every weight, so that nothing stands where it began."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.3 * rng.normal(size=weight.shape))
    return model


def grow(new, old):
    variables = keyed_variables(new, new.optimizer)
    rows = row_sources(old.spec, new.spec)
    values = {**grown_weights(new, arrays(old), rows), **grown_row_state(new, arrays(old), rows)}
    assign({key: variables[key] for key in values}, values, "The older model")
    return new


KINDS = [
    ("lmn", {"num_heads": 2, "query_norm": "none", "wide": True, "interaction": "product"}),
    ("msn", {"num_heads": 2}),
    *(
        pytest.param(*one, marks=pytest.mark.slow)
        for one in [
            ("lmn", {"key_norm": True, "num_heads": 2, "head_merge": "concat"}),
            ("msn", {"num_heads": 2, "key_norm": False, "key_expansion": None}),
            # Fewer slots than a head may read: the rest fills up with closed ones.
            ("lmn", {"num_keys": 2, "top_k": 8}),
        ]
    ),
]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(("name", "options"), KINDS)
def test_a_grown_memory_gives_the_old_scores(name, options):
    old = shaken(make(name, seed=1, **options))
    count = options.get("num_keys", 6)
    new = grow(make(name, seed=2, **{**options, "num_keys": 16, "open_keys": count}), old)
    features = random_features(SPEC, rows=40, seed=3)
    for key in features:
        if features[key].dtype == np.float32:
            features[key] = features[key] * 5
    want = old(features).numpy()
    np.testing.assert_allclose(new(features), want, rtol=1e-6, atol=1e-6)
    assert np.std(want) > 0.1
    for memory in [layer for layer in new._flatten_layers() if hasattr(layer, "open_up_to")]:
        memory.open_up_to(16)
    opened = new(features).numpy()
    assert np.abs(opened - want).max() > 1e-4  # what is closed is not without effect


def test_slots_keep_keys_and_values_under_new_ids():
    old, new = shaken(make("lmn", seed=1)), make("lmn", seed=2, num_keys=9, open_keys=6)
    grow(new, old)
    before, after = (model.memories["clicks"].memory for model in (old, new))
    for name in ("row_keys", "column_keys"):
        one, other = (np.asarray(getattr(memory, name)) for memory in (before, after))
        np.testing.assert_array_equal(other[:, :6], one)
        distance = np.abs(other[:, 6:] - one[:, :3])
        assert 0 < distance.max() < np.std(one)
    values = np.asarray(before.memory_values).reshape(6, 6, -1)
    grown = np.asarray(after.memory_values).reshape(9, 9, -1)
    np.testing.assert_array_equal(grown[:6, :6], values)
    np.testing.assert_array_equal(grown[6:, 6:], values[:3, :3])
    np.testing.assert_array_equal(grown[6:, :6], values[:3])


@pytest.mark.slow
def test_new_slots_are_used_after_training():
    old = make("lmn", seed=1)
    old.run_eagerly = True
    features, labels = random_features(SPEC, rows=64), random_labels(64)
    old.fit(features, labels, batch_size=16, epochs=2, verbose=0)
    new = grow(make("lmn", seed=2, num_keys=12, open_keys=6), old)
    new.run_eagerly = True
    memory = new.memories["clicks"].memory
    before = np.array(memory.memory_values).reshape(12, 12, -1)
    state = arrays(new)["optimizer/lmn/clicks_memory/memory/memory_values/accumulator"]
    state = state.reshape(12, 12)
    assert state.max() > 0
    np.testing.assert_array_equal(state[6:, 6:], state[:6, :6])
    new.fit(features, labels, batch_size=16, epochs=4, verbose=0, callbacks=[OpenKeys(6)])
    moved = np.abs(np.array(memory.memory_values).reshape(12, 12, -1) - before).max(-1) > 0
    assert moved[6:].sum() > 5 and moved[:, 6:].sum() > 5
    new.compile(RowWiseAdagrad(0.05), run_eagerly=True)
    new.evaluate(features, labels, verbose=0)
    reads = np.asarray(new._slots.metrics[0].reads).reshape(12, 12)
    share = 1 - reads[:6, :6].sum() / reads.sum()
    assert share > 0.3


@pytest.mark.slow
def test_a_memory_split_over_replicas_grows_from_a_whole_one():
    old = make("lmn", seed=1)
    data = tf.data.Dataset.from_tensor_slices(
        (random_features(SPEC, rows=32), random_labels(32))
    ).batch(16)
    old.fit(data, verbose=0)
    with replicas(2).scope():
        new = make("lmn", seed=2, num_keys=10, open_keys=6, memory_placement="row_wise")
    grow(new, old)
    want, found = (model.predict(data, verbose=0) for model in (old, new))
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    new.fit(data, epochs=2, verbose=0, callbacks=[OpenKeys(2)])
    assert new.memories["clicks"].memory.open_count.numpy() == 10
    everything = carried_over(new, arrays(new), row_sources(SPEC, SPEC))
    assert everything.keys() == keyed_variables(new, new.optimizer).keys()


def test_the_moving_average_of_a_new_row_is_that_of_the_row_it_copies():
    model = make("dnn", seed=1)
    model.compile(RowWiseAdagrad(0.05, use_ema=True))
    model.optimizer.build(model.trainable_variables)
    old = {key: np.random.default_rng(0).random(one.shape) for key, one in arrays(model).items()}
    name, sources = max(row_sources(SPEC, SPEC).items(), key=lambda pair: len(pair[1].values))
    values, state = np.array(sources.values), np.array(sources.state)
    values[-1], state[-1] = 1, -1
    rows = {**row_sources(SPEC, SPEC), name: RowSources(values, state, sources.size)}
    grown = grown_row_state(model, old, rows, slots=None)
    [path] = [key.rpartition("/")[0] for key in grown if f"/{name}/embeddings/average" in key]
    np.testing.assert_array_equal(grown[f"{path}/average"][-1], old[f"{path}/average"][1])
    np.testing.assert_array_equal(grown[f"{path}/average"][:-1], old[f"{path}/average"][:-1])
    assert grown[f"{path}/accumulator"][-1] == 0.0
    assert not any("average" in key for key in grown_row_state(model, old, rows))


def test_counts_of_reads_follow_their_rows():
    model = make("lmn", seed=1)
    model.compile(RowWiseAdagrad(0.05, frequency_rate=True))
    model.optimizer.build(model.trainable_variables)
    old = {key: np.random.default_rng(0).random(one.shape) for key, one in arrays(model).items()}
    rows = row_sources(SPEC, SPEC)
    state = grown_row_state(model, old, rows)
    slots = [key.rpartition("/")[2] for key in state]
    assert len(slots) > 3 and slots.count("reads") == slots.count("most_reads") == len(slots) / 3
    for key, value in state.items():
        np.testing.assert_array_equal(value, old[key])
    carried = carried_over(model, old, rows)
    assert state.keys() < carried.keys()


def test_state_of_another_optimizer_is_left_out():
    old, new = make("lmn", seed=1), make("lmn", seed=2)
    new.compile(RowWiseAdam(0.05))
    new.optimizer.build(new.trainable_variables)
    rows = row_sources(old.spec, new.spec)
    assert grown_row_state(new, arrays(old), rows) == {}
    assert len(grown_row_state(new, arrays(new), rows)) > 3


def test_other_models_are_refused():
    old = arrays(make("lmn", seed=1))
    for name, options, message in [
        ("lmn", {"hidden_units": (9, 4)}, r"`lmn/head/mlp/hidden/kernel` must have .* \(\d+, 8\)"),
        ("dnn", {}, "must have the variables .*Received: dnn/"),
    ]:
        new = make(name, seed=1, **options)
        with pytest.raises(UserError, match=message):
            grown_weights(new, old, row_sources(SPEC, new.spec))
    kept = {key: value for key, value in old.items() if "/head/" in key}
    with pytest.raises(UserError, match="which it does not have"):
        grown_weights(new, kept, row_sources(SPEC, new.spec))


def test_fitted_terms_have_no_weight_until_they_are_fitted_again():
    options = {"rates": True, "counts": True}
    old = make("pooling", seed=1, **options)
    calibration = old.calibration
    for weight in (calibration.term_weights, calibration.term_slopes, calibration.offset):
        weight.assign(np.full(weight.shape, 0.5))
    new = grow(make("pooling", seed=2, **options), old).calibration
    np.testing.assert_array_equal(new.term_weights[:, 0], np.eye(6)[0])
    np.testing.assert_array_equal(new.term_slopes, np.zeros((6, 1)))
    np.testing.assert_array_equal(new.offset, [0.0])
