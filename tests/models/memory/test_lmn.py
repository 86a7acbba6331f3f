import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_MEMORY,
    kitchen_sink_spec,
    random_features,
    random_labels,
    slim_spec,
)

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.metrics import usage_statistics
from lmn_tf.models import LMN

SPEC = kitchen_sink_spec()
SLIM = slim_spec()


def make(spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = LMN(spec, **{**SMALL_MEMORY, **options})
    model.build()
    return model


def read_out(model, features):
    return model.read_histories(model.encoder.encode(features))[-1].numpy()


def test_two_users_with_one_history_read_differently():
    model, features = make(), random_features(SPEC)
    alike = {
        key: np.repeat(value[:1], 6, axis=0) if key.startswith("clicks/") else value
        for key, value in features.items()
    }
    features = {**alike, "user": np.array([2, 3, 4, 5, 6, 7], "int32")}
    outs = read_out(model, features)
    assert np.abs(outs[1:] - outs[:1]).max(axis=1).min() > 1e-7
    for name in ("user", "age", "income"):
        features[name] = np.repeat(features[name][:1], 6)
    outs = read_out(model, features)
    np.testing.assert_allclose(outs, np.repeat(outs[:1], 6, axis=0), rtol=1e-5, atol=1e-7)


def test_a_spec_without_user_features_reads_without_a_user():
    kept = [f for f in KITCHEN_SINK["features"] if f["name"] not in ("user", "income")]
    kept = [{**f, "role": "context"} if f["name"] == "age" else f for f in kept]
    spec = kitchen_sink_spec(features=kept)
    assert np.isfinite(make(spec)(random_features(spec))).all()


def test_no_weight_no_loss():
    features = random_features(SPEC)
    for weight, count in ((0.0, 0), (0.5, 1)):
        model = make(memory_loss_weight=weight)
        model(features)
        assert len(model.losses) == count


def test_the_loss_weight_scales_the_memory_loss():
    losses = []
    for weight in (0.1, 0.4):
        model = make(memory_loss_weight=weight)
        model(random_features(SPEC))
        losses.append(float(model.losses[0]))
    assert losses[1] == pytest.approx(4 * losses[0], rel=1e-5)


def test_a_batch_of_empty_histories_has_no_memory_loss():
    model, features = make(), random_features(SPEC)
    features["clicks/mask"][:] = False
    model(features)
    assert float(model.losses[0]) == 0.0
    np.testing.assert_array_equal(read_out(model, features), np.zeros((6, 11)))


def test_the_interest_is_that_of_din():
    from lmn_tf.models import DIN

    model, features = make(), random_features(SPEC)
    din = DIN(SPEC, hidden_units=(8, 4), attention_units=(6,))
    din.build()
    din.encoder.set_weights(model.encoder.get_weights())
    din.attention_layers["clicks"].set_weights(model.attention_layers["clicks"].get_weights())
    np.testing.assert_allclose(
        model.read_histories(model.encoder.encode(features))[0],
        din.read_histories(din.encoder.encode(features))[0],
        rtol=1e-6,
    )


def data(rows=24, batch=8):
    features, labels = random_features(SLIM, rows=rows), random_labels(rows)
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(batch), features


def test_evaluate_tells_how_the_memory_was_used():
    model = make(SLIM)
    model.compile()
    batches, features = data()
    logs = model.evaluate(batches, verbose=0, return_dict=True)
    reads = np.zeros(36)
    one = model.encoder.encode(features)
    clicks = one["histories"]["clicks"]
    clicks = EncodedHistory(clicks.events, clicks.event_windows)  # as queries are made
    _, slots, weights = model.memories["clicks"].read(
        clicks["history"], user=one["user"], mask=clicks["mask"]
    )
    mask = features["clicks/mask"]
    np.add.at(reads, slots.numpy()[mask], weights.numpy()[mask])
    want = usage_statistics(reads)
    assert logs["slots_used"] == pytest.approx(want["used"])
    assert logs["memory_kl"] == pytest.approx(want["kl"], rel=1e-5)
    assert logs["slots_for_90"] == want["top90"]
    assert model.memory_usage()["clicks"]["used"] == pytest.approx(want["used"])


def test_nothing_is_counted_outside_evaluation():
    model, features = make(SLIM), random_features(SLIM)
    model.compile(run_eagerly=True)
    model.train_on_batch(features, random_labels())
    model.predict(features, verbose=0)
    model(features)
    assert np.isnan(model.memory_usage()["clicks"]["used"])


def test_training_and_evaluation_log_their_own_values():
    model, (batches, _) = make(SLIM, query_target=True), data(rows=12, batch=6)
    model.compile(run_eagerly=True)
    history = model.fit(batches, validation_data=batches, verbose=0).history
    assert {"memory_loss", "query_norm", "read_out_norm", "val_slots_used"} <= set(history)
    assert not {"val_memory_loss", "slots_used"} & set(history)


def test_each_sequence_has_a_memory():
    first = SLIM.to_dict()["sequences"][0]
    spec = slim_spec(sequences=[first, {**first, "name": "buys"}])
    model = make(spec)
    model.compile(run_eagerly=True)
    model.evaluate(random_features(spec), random_labels(), verbose=0)
    assert set(model.memory_usage()) == {"clicks", "buys"}
    logs = model.evaluate(random_features(spec), random_labels(), verbose=0, return_dict=True)
    assert {"clicks_slots_used", "buys_slots_used"} <= set(logs)
    logs = model.train_on_batch(random_features(spec), random_labels(), return_dict=True)
    assert {"clicks_memory_loss", "buys_memory_loss", "buys_query_norm"} <= set(logs)
    assert logs["clicks_memory_loss"] != logs["buys_memory_loss"]


@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 2, "head_merge": "concat", "key_dim": 3},
        {"query_norm": "layer", "memory_pooling": "sum"},
        {"query_norm": "none", "memory_pooling": "target_attention", "query_target": True},
        {"stop_gradient": "memory_only", "memory_hidden_units": (5,), "attention": False},
        {"stop_gradient": "none", "temperature": 2.0},
    ],
)
def test_options(options):
    model = make(SLIM, **options)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(SLIM), random_labels())).all()
    again = LMN.from_config(model.get_config())
    assert again.get_config() == model.get_config()


@pytest.mark.slow
def test_two_replicas_take_the_same_step_as_one():
    devices = tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices[:2]])
    features, labels = random_features(SLIM, rows=8), random_labels(rows=8)
    # Statistics are of each replica's part, so both replicas get the same rows.
    both = {key: np.concatenate([value, value]) for key, value in features.items()}
    with strategy.scope():
        model = make(SLIM)
        model.compile(keras.optimizers.SGD(0.1), metrics=["auc", "gauc"])
    data = tf.data.Dataset.from_tensor_slices((both, np.concatenate([labels, labels]))).batch(16)
    model.fit(data, verbose=0)
    alone = make(SLIM)
    alone.compile(keras.optimizers.SGD(0.1))
    alone.train_on_batch(features, labels)
    for one, other in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=one.path)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    assert 0.0 <= logs["gauc"] <= 1.0


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_evaluates_in_mixed_precision(policy):
    model = make(SLIM, dtype=policy)
    model.compile(metrics=["auc", "gauc"])
    data = tf.data.Dataset.from_tensors((random_features(SLIM), random_labels()))
    logs = model.evaluate(data, verbose=0, return_dict=True)
    plain = make(SLIM)
    plain.compile(run_eagerly=True)
    want = plain.evaluate(data, verbose=0, return_dict=True)
    assert logs["slots_used"] > 0
    assert logs["memory_kl"] == pytest.approx(want["memory_kl"], rel=0.2)
