"""What every registered model owes."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    repadded,
    slim_spec,
)

from lmn_tf.models import registry
from lmn_tf.models.base.ctr_model import CTRModel

SPEC = kitchen_sink_spec()
SLIM = slim_spec()
TWO_LABELS = kitchen_sink_spec(labels=[{"name": "like"}, {"name": "share"}])

# Options of every model beside its MLP: one model stands for all.
EXPLICIT_TERMS = {"dnn": {"interaction": "product", "wide": True}}


def of_models(*quick):
    """Tests each model, beside its own tests; all but some of them in the slow tests."""
    return pytest.mark.parametrize(
        "name",
        [
            name if name in quick else pytest.param(name, marks=pytest.mark.slow)
            for name in registry.names()
        ],
    )


# In the quick tests, a model without histories and one with all there is; or the latter alone.
every_model, every_reader = of_models("dnn", "lmn"), of_models("lmn")


def make(name, spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = registry.build(
        name, spec, {**SMALL_OPTIONS[name], **EXPLICIT_TERMS.get(name, {}), **options}
    )
    model.build()
    return model


@functools.cache
def made(name):
    """The model that `make` makes, made once: for tests that leave its weights as they are."""
    return make(name)


def with_junk(features):
    """The same rows with other content at padding."""
    rng = np.random.default_rng(5)
    mask = features["clicks/mask"]
    changed = dict(features)
    for key, cells in features.items():
        if key.startswith("clicks/") and key != "clicks/mask":
            junk = rng.integers(1, 4, cells.shape).astype(cells.dtype)
            kept = mask.reshape(mask.shape + (1,) * (cells.ndim - 2))
            changed[key] = np.where(kept, cells, junk)
    return changed


@every_model
def test_is_a_documented_model(name):
    model = made(name)
    assert isinstance(model, CTRModel)
    assert model.count_params() > 0
    model.summary(print_fn=lambda *args, **kwargs: None)


@every_reader
def test_building_leaves_the_start_of_training(name):
    """Whether by a row of nothing or, under a strategy, by a graph."""
    model = make(name)
    assert model.losses == []
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        twin = make(name)
    for one, other in zip(model.variables, twin.variables, strict=True):
        np.testing.assert_array_equal(one, other)


@every_model
def test_batch_and_length_may_be_unknown(name):
    model = made(name)
    signature = model.encoder.signature()

    @tf.function(input_signature=[signature])
    def run(features):
        return model(features)

    for rows, length in ((1, 1), (6, 1), (3, 7)):
        features = random_features(SPEC, rows, length)
        logits = run({key: tf.constant(features[key]) for key in signature})
        assert logits.shape == (rows, 1)
        assert np.isfinite(logits).all()


@every_model
def test_eager_and_xla_agree(name):
    # Graphs are those of XLA on the kernels of eager calls.
    model, features = made(name), random_features(SPEC)
    features = {key: tf.constant(value) for key, value in features.items()}
    again = tf.function(model, jit_compile=True, autograph=False)(features)
    np.testing.assert_allclose(again, model(features), rtol=1e-5, atol=1e-6)


@every_reader
def test_padding_changes_nothing(name):
    model, features = made(name), random_features(SPEC)
    logits = model(features)
    np.testing.assert_allclose(model(with_junk(features)), logits, rtol=0, atol=1e-6)
    for left in (False, True):
        wide = repadded(features, SPEC, left=left, extra=3)
        np.testing.assert_allclose(model(wide), logits, rtol=0, atol=1e-6)


@every_reader
def test_padding_changes_no_training_step(name):
    labels = random_labels()
    losses, weights = [], []
    for change in (lambda f: f, with_junk, lambda f: repadded(f, SPEC, left=True, extra=2)):
        model = make(name)
        model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
        losses.append(model.train_on_batch(change(random_features(SPEC)), labels))
        weights.append(model.get_weights())
    for loss, after in zip(losses[1:], weights[1:], strict=True):
        np.testing.assert_allclose(loss, losses[0], rtol=1e-5)
        for one, other in zip(after, weights[0], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@every_reader
def test_empty_histories_give_finite_numbers_and_gradients(name):
    model, features = make(name), random_features(SPEC)
    for rows in (slice(0, 1), slice(None)):
        features["clicks/mask"][rows] = False
        with tf.GradientTape() as tape:
            logits = model(features, training=True)
            loss = tf.reduce_sum(logits) + tf.add_n([tf.constant(0.0), *model.losses])
        assert np.isfinite(logits).all()
        for gradient in tape.gradient(loss, model.trainable_weights):
            if gradient is not None:
                assert np.isfinite(tf.convert_to_tensor(gradient)).all()


@every_model
def test_every_weight_learns(name):
    model, features = make(name), random_features(SPEC, rows=16)
    model.compile(run_eagerly=True)
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = model.compute_loss(features, random_labels(16), logits, training=True)
    gradients = tape.gradient(loss, model.trainable_weights)
    lacking = [w.path for w, g in zip(model.trainable_weights, gradients, strict=True) if g is None]
    assert lacking == []


@every_model
def test_config_round_trip(name):
    model, features = made(name), random_features(SPEC)
    config = json.loads(json.dumps(model.get_config()))
    again = type(model).from_config(config)
    again.build()
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again(features), model(features), rtol=1e-6)


@every_reader
def test_saves_and_loads(name, tmp_path):
    model, features = make(name), random_features(SPEC)
    model.compile(metrics=["auc", "gauc"], run_eagerly=True)
    model.train_on_batch(features, random_labels())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(features), model(features))
    assert model.optimizer.iterations == again.optimizer.iterations
    losses = [m.train_on_batch(features, random_labels()) for m in (model, again)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    np.testing.assert_allclose(again(features), model(features), rtol=1e-5, atol=1e-6)


@pytest.mark.quick_cases(1)
@every_model
def test_a_seed_decides_everything(name):
    logits = []
    for _ in range(2):
        model = make(name, SLIM, dropout=0.2)
        model.compile(run_eagerly=True)
        for seed in range(3):
            model.train_on_batch(random_features(SLIM, seed=seed), random_labels(seed=seed))
        logits.append(model.predict(random_features(SLIM), verbose=0))
        # Predicting leaves no trace.
        np.testing.assert_array_equal(model.predict(random_features(SLIM), verbose=0), logits[-1])
    np.testing.assert_array_equal(logits[0], logits[1])


@pytest.mark.quick_cases(1)
@every_model
def test_overfits_a_few_rows(name):
    features, labels = random_features(SLIM, rows=64), random_labels(rows=64)
    options = {"ranking": True} if "ranking" in registry.options(name) else {}
    model = make(name, spec=SLIM, hidden_units=[32, 16], **options)
    model.compile(keras.optimizers.Adam(0.01), metrics=["auc"])
    data = tf.data.Dataset.from_tensors((features, labels)).repeat(60)
    model.fit(data, verbose=0)
    data = tf.data.Dataset.from_tensors((features, labels))
    assert model.evaluate(data, verbose=0, return_dict=True)["auc"] > 0.99


@every_model
def test_several_labels(name):
    model = make(name, spec=TWO_LABELS)
    model.compile(metrics=["auc", "gauc"], run_eagerly=True)
    features, labels = random_features(TWO_LABELS), random_labels(count=2)
    data = tf.data.Dataset.from_tensors((features, labels))
    model.fit(data, verbose=0)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    assert {"like_auc", "share_auc", "like_gauc", "share_gauc"} <= set(logs)
    assert model.predict(data, verbose=0).shape == (6, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@every_reader
def test_mixed_precision(name, policy):
    model = made(name)
    half = type(model).from_config({**model.get_config(), "dtype": policy})
    half.build()
    half.set_weights(model.get_weights())
    features = random_features(SPEC)
    assert half(features).dtype == tf.float32
    np.testing.assert_allclose(half(features), model(features), rtol=0.1, atol=0.05)
    half.compile(run_eagerly=True)
    assert np.isfinite(half.train_on_batch(features, random_labels())).all()
