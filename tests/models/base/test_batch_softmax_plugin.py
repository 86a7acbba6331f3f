import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    slim_spec,
    timeless_spec,
)
from replicas import assert_two_replicas_take_the_step_of_one

from lmn_tf.models import DIN, LMN, SIM, LMNPair, Pooling, RankMixer, TwoTower, UserAwarePooling
from lmn_tf.models.base.labelled_loss import noted_in
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
OPTIONS = {**SMALL, "softmax_weight": 0.5, "softmax_dim": 4}


def make(kind=Pooling, spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = kind(spec, **{**OPTIONS, **options})
    model.compile(keras.optimizers.SGD(0.1))
    model.build()
    return model


def twin_losses(model, features, ids):
    """The cross-entropy of each row's candidate, from vectors and loops."""
    groups = model.encode(features)
    history = groups["histories"]["clicks"]
    events, mask = np.array(history.padded), features["clicks/mask"]
    pooled = (events * mask[..., None]).sum(1) / np.sqrt(np.maximum(mask.sum(1), 1))[:, None]
    query = np.array(model.softmax_query(pooled.astype("float32")))
    candidate = np.array(model.softmax_candidate(groups["item"]))
    losses = []
    for row in range(len(ids)):
        scores = {}
        for other in range(len(ids)):
            if other == row or ids[other] != ids[row]:
                lengths = np.linalg.norm(query[row]) * np.linalg.norm(candidate[other])
                product = query[row] @ candidate[other] / lengths
                scores[other] = product / model.options.softmax_temperature
        losses.append(np.log(sum(np.exp(list(scores.values())))) - scores[row])
    return np.array(losses)


@pytest.mark.parametrize("weights", [None, np.array([1, 2, 0.5, 1, 3, 1], "float32")])
def test_the_loss_of_true_candidates_joins_that_of_labels(weights):
    features, labels = random_features(SPEC), random_labels()
    features["item"][:3] = 7  # accidental hits
    model = make(batch_norm=False, softmax_temperature=0.3)
    logits = model(features, training=True)
    loss = model.compute_loss(features, labels, logits, weights, training=True)
    clicks = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits, weights)
    # In the first batch, each id was in all batches so far, so the correction is 0.
    rows = labels[:, 0] * twin_losses(model, features, features["item"])
    rows *= 1 if weights is None else weights
    np.testing.assert_allclose(loss, clicks + 0.5 * np.mean(rows), rtol=1e-5)


def test_frequent_candidates_are_corrected():
    features, labels = random_features(SPEC), random_labels()
    model = make(batch_norm=False, softmax_temperature=1.0)
    first = [model.compute_loss(features, labels, model(features, training=True)) for _ in "ab"]
    np.testing.assert_allclose(first[0], first[1], rtol=1e-6)  # all are in each batch
    others = {**features, "item": (features["item"] + 20) % 40 + 2}
    others["item"][0] = features["item"][0]
    model.compute_loss(others, labels, model(others, training=True))
    later = model.compute_loss(features, labels, model(features, training=True))
    assert abs(float(later - first[0])) > 1e-3


def test_logits_are_those_without_it():
    features = random_features(SPEC)
    model, host = make(), make(softmax_weight=0.0)
    own = [weight for weight in model.weights if "softmax_" not in weight.path]
    assert len(own) < len(model.weights)
    for weight, want in zip(own, host.weights, strict=True):
        weight.assign(want)
    np.testing.assert_array_equal(model(features, training=False), host(features, training=False))
    labels = random_labels()
    logits = model(features, training=False)
    plain = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits)
    evaluated = model.compute_loss(features, labels, logits, training=False)
    np.testing.assert_allclose(evaluated, plain, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Pooling, {"wide": True}),
        (LMNPair, {"wide": True}),
        (DIN, {"attention_units": (4,)}),
        (LMN, {"attention": False, "num_keys": 4, "top_k": 2}),
        (UserAwarePooling, {"attention_units": (4,)}),
        (RankMixer, SMALL_OPTIONS["rankmixer"]),
    ],
)
def test_models_with_other_terms_keep_it(kind, options):
    model = make(kind, **options)
    features, labels = random_features(SPEC), random_labels()
    logits = model(features, training=True)
    plain = model.compute_loss(features, labels, tf.identity(logits))
    assert float(model.compute_loss(features, labels, logits) - plain) > 0.1


def test_trains_the_tables_where_labels_are_positive():
    features = random_features(SPEC)
    model = make(batch_norm=False)
    weights = model.softmax_query.trainable_weights
    for labels, is_trained in ((np.zeros((6, 1), "float32"), False), (random_labels(), True)):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(features, labels, model(features, training=True))
        gradients = tape.gradient(loss, weights)
        assert all(bool(np.any(gradient)) == is_trained for gradient in gradients)
    history = model.fit(
        tf.data.Dataset.from_tensors((features, labels)),
        validation_data=tf.data.Dataset.from_tensors((features, labels)),
        verbose=0,
    ).history
    assert np.isfinite(history["softmax_loss"][0]) and "val_softmax_loss" not in history


def test_an_empty_history_has_a_finite_gradient():
    features, labels = random_features(SPEC), np.ones((6, 1), "float32")
    features["clicks/mask"][:] = False
    model = make()
    with tf.GradientTape() as tape:
        loss = model.compute_loss(features, labels, model(features, training=True))
    gradients = tape.gradient(loss, model.trainable_weights)
    assert np.isfinite(loss)
    for gradient in gradients:
        values = getattr(gradient, "values", gradient)
        assert values is None or np.isfinite(values).all()


def test_padding_does_not_count():
    spec = timeless_spec()
    features, labels = random_features(spec), random_labels()
    filled = {key: value.copy() for key, value in features.items()}
    filled["clicks/item"][~features["clicks/mask"]] = 3
    losses = []
    for given in (features, filled):
        model = make(spec=spec)
        losses.append(model.compute_loss(given, labels, model(given, training=True)))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    features, labels = random_features(SPEC), random_labels()
    losses = []
    for dtype in ("float32", policy):
        model = make(batch_norm=False, dtype=dtype)
        losses.append(float(model.compute_loss(features, labels, model(features, training=True))))
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_saves_and_loads(tmp_path):
    model, features = make(), random_features(SPEC)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.options == model.options
    np.testing.assert_array_equal(loaded(features), model(features))
    labels = random_labels()
    losses = [one.compute_loss(features, labels, one(features)) for one in (model, loaded)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


def test_two_replicas_take_the_step_of_one():
    features, labels = random_features(SPEC, rows=7), random_labels(rows=7)
    features["item"][:5] = [7, 8, 7, 9, 7]  # hits on the other replica, too
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(7)
    assert_two_replicas_take_the_step_of_one(lambda: make(batch_norm=False), data, epochs=2)


def test_candidates_need_an_id():
    features = [f for f in KITCHEN_SINK["features"] if f["name"] in ("user", "tags")]
    clicks = KITCHEN_SINK["sequences"][0]
    spec = kitchen_sink_spec(
        features=features,
        tables={"tag": KITCHEN_SINK["tables"]["tag"]},
        sequences=[{**clicks, "fields": [clicks["fields"][1]]}],
    )
    with pytest.raises(
        UserError, match="`softmax_weight` must be 0 for a feature spec without .*_weight=0.5 for"
    ):
        make(spec=spec)


def test_models_with_a_loss_of_their_own_have_no_softmax():
    with pytest.raises(UserError, match="`softmax_weight` must be left alone for two .*=0.5"):
        TwoTower(SPEC, softmax_weight=0.5)
    with pytest.raises(UserError, match="`softmax_weight` must be left alone for SIM, .*=0.5"):
        SIM(SPEC, softmax_weight=0.5)


def test_a_score_needs_the_softmax():
    with pytest.raises(UserError, match="`softmax_score` must be false unless `softmax_weight`"):
        make(softmax_weight=0.0, softmax_score=True)


def test_the_score_is_that_of_the_loss():
    features = random_features(SPEC)
    model = make(softmax_score=True, batch_norm=False)
    assert model.term_names == ("trained", "softmax_score")
    model.calibration.term_weights.assign([[0.0], [1.0]])
    noted = noted_in(model(features, training=True))
    want = np.sum(np.multiply(noted["query"], noted["candidate"]), axis=1)
    np.testing.assert_allclose(model(features, training=False)[:, 0], want, rtol=1e-5, atol=1e-6)


def test_the_score_is_not_rounded_to_half_precision():
    features = random_features(SPEC)
    model = make(softmax_score=True, dtype="mixed_bfloat16")
    model.calibration.term_weights.assign([[0.0], [1.0]])
    scores = model(features, training=False)
    assert scores.dtype == tf.float32
    assert np.any(scores != tf.cast(tf.cast(scores, tf.bfloat16), tf.float32))
