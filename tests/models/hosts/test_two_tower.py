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
    shared_features,
    slim_spec,
    timeless_spec,
)
from replicas import assert_two_replicas_take_the_step_of_one

from lmn_tf.models import ItemCorpus, TwoTower
from lmn_tf.ops import in_batch_softmax
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["two_tower"]


def make(spec=SPEC, seed=1, **options):
    keras.utils.set_random_seed(seed)
    model = TwoTower(spec, **{**SMALL, **options})
    model.compile(keras.optimizers.Adam(0.02), metrics=["auc"])
    model.build()
    return model


def step_loss(model, features, labels, weights=None):
    logits = model(features, training=True)
    return float(model.compute_loss(features, labels, logits, weights, training=True)), logits


def test_the_logit_is_the_calibrated_product_of_the_vectors():
    spec = kitchen_sink_spec(labels=[{"name": "like"}, {"name": "share"}])
    model, features = make(spec, hidden_units=(16, 8)), random_features(spec)
    model.logits.bias.assign([0.5, -1.0])
    query, candidate = model.query_vectors(features), model.candidate_vectors(features)
    np.testing.assert_allclose(tf.norm(query, axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(tf.norm(candidate, axis=1), 1.0, rtol=1e-6)
    score = np.sum(query * candidate, axis=1, keepdims=True)
    np.testing.assert_allclose(model(features), score + [0.5, -1.0], rtol=1e-5, atol=1e-6)
    lengths = tf.norm(make(spec, normalize=False).query_vectors(features), axis=1)
    assert np.any(np.abs(lengths - 1) > 0.1)


def test_the_towers_do_not_see_each_other():
    model, features = make(kitchen_sink_spec()), random_features(kitchen_sink_spec())
    query, candidate = model.query_vectors(features), model.candidate_vectors(features)
    other = random_features(kitchen_sink_spec(), seed=7)
    of_items = {*model.encoder.role_signature("item"), "age_x_tags"}
    swapped = {key: (other if key in of_items else features)[key] for key in features}
    np.testing.assert_allclose(model.query_vectors(swapped), query, rtol=1e-5, atol=1e-6)
    alone = {key: features[key] for key in model.query_signature()}
    assert not of_items & alone.keys()
    np.testing.assert_allclose(model.query_vectors(alone), query, rtol=1e-5, atol=1e-6)
    only = {key: features[key] for key in model.encoder.role_signature("item")}
    np.testing.assert_array_equal(model.candidate_vectors(only), candidate)


@pytest.mark.parametrize("weights", [None, np.array([1, 2, 0.5, 1, 3, 1], "float32")])
def test_the_loss_of_the_true_candidates_joins_that_of_the_labels(weights):
    features, labels = random_features(SPEC), random_labels()
    features["item"][:3] = 7  # accidental hits
    model = make(batch_norm=False)  # whose vectors are the same in training
    loss, logits = step_loss(model, features, labels, weights)
    query, candidate = model.query_vectors(features), model.candidate_vectors(features)
    # In the first batch, each id was in all batches so far, so the correction is 0.
    rows = in_batch_softmax(query, candidate, features["item"], temperature=0.05).numpy()
    rows *= labels[:, 0] * (1 if weights is None else weights)
    clicks = keras.losses.BinaryCrossentropy(from_logits=True)(labels, logits, weights)
    np.testing.assert_allclose(loss, clicks + np.mean(rows), rtol=1e-5)
    evaluated = model.compute_loss(features, labels, logits, weights, training=False)
    np.testing.assert_allclose(evaluated, clicks, rtol=1e-6)


def test_options_of_the_softmax():
    rng = np.random.default_rng(0)
    query, candidate = (tf.constant(0.1 * rng.normal(size=(6, 4)), tf.float32) for _ in range(2))
    labels, losses = random_labels(), set()
    for options in (
        {},
        {"remove_accidental_hits": False},
        {"num_hard_negatives": 1},
        {"softmax_temperature": 1.0},
        {"sampling_correction": False},
        {"sampling_rate": 0.9},
    ):
        model = make(**options)
        for ids in ([7] * 6, [8] * 6, [8] * 6, [7, 8, 7, 5, 9, 2]):
            noted = {"query": query, "candidate": candidate, "ids": tf.constant(ids)}
            rows = model.labelled_loss(noted, labels, None)
        losses.add(round(float(tf.reduce_sum(rows)), 4))
    assert len(losses) == 6
    assert make(sampling_correction=False).sampling_probability is None


def test_rows_without_a_click_train_no_query():
    model, features, labels = make(batch_norm=False), random_features(SPEC), random_labels()
    labels[:] = 0
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = model.compute_loss(features, labels, logits, training=True)
    towers = [*model.head.trainable_weights, *model.candidate_tower.trainable_weights]
    gradients = tape.gradient(loss, [*towers, *model.logits.trainable_weights])
    assert all(g is None or not np.any(g) for g in gradients[:-2])
    assert all(np.any(g) for g in gradients[-2:])  # scale and bias are fitted to all labels


def test_ranking_trains_the_towers_by_all_labels():
    model, features = make(ranking=True), random_features(SPEC)
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = model.compute_loss(features, np.zeros((6, 1)), logits, training=True)
    gradients = tape.gradient(loss, model.candidate_tower.trainable_weights)
    assert any(np.any(g) for g in gradients if g is not None)


@pytest.mark.slow
def test_learns_who_likes_what():
    """Users of a kind like items of the same kind: the softmax alone finds them."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(2, 40, 2000), rng.integers(2, 40, 2000)
    labels = (users % 4 == items % 4).astype("float32")[:, None]
    features = random_features(SPEC, rows=2000)
    features |= {"user": users.astype("int32"), "item": items.astype("int32")}
    features["clicks/mask"][:] = False
    features["tags"][:] = 0
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(200)
    model = make(tower_dim=8, hidden_units=(32,))
    corpus = ItemCorpus(model, data)
    (before,) = corpus.top_k(data, (10,)).result().values()
    losses = model.fit(data, epochs=20, verbose=0).history["retrieval_loss"]
    (after,) = corpus.top_k(data, (10,)).result().values()
    assert losses[-1] < losses[0] - 0.5
    assert before < 0.5 < 0.9 < after
    assert model.evaluate(data, verbose=0, return_dict=True)["auc"] > 0.95


@pytest.mark.slow
def test_two_replicas_take_the_step_of_one():
    features, labels = random_features(SPEC, rows=7), random_labels(rows=7)
    features["item"][:5] = [7, 8, 7, 9, 7]  # hits on the other replica, too
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(7)

    def make_with_sgd():
        model = make()
        model.compile(keras.optimizers.SGD(0.1))
        return model

    assert_two_replicas_take_the_step_of_one(make_with_sgd, data, epochs=3)


def test_batches_of_windows_have_the_same_vectors():
    spec = timeless_spec()
    shared, padded = shared_features(spec)
    model = make(spec)
    np.testing.assert_allclose(
        model.query_vectors(shared), model.query_vectors(padded), rtol=1e-5, atol=1e-6
    )


def test_the_id_of_a_candidate():
    assert make(kitchen_sink_spec()).id_feature == "item"
    with pytest.raises(
        UserError,
        match="`candidate_id` must be an item feature with one id in each row: item. "
        "Received: candidate_id='itm'. Did you mean `item`",
    ):
        make(candidate_id="itm")
    with pytest.raises(UserError, match="Received: candidate_id='tags'"):
        make(candidate_id="tags")
    features = [f for f in KITCHEN_SINK["features"] if f["name"] in ("user", "tags")]
    clicks = KITCHEN_SINK["sequences"][0]
    spec = slim_spec(
        features=features,
        tables={"tag": KITCHEN_SINK["tables"]["tag"]},
        sequences=[{**clicks, "fields": [clicks["fields"][1]]}],
    )
    with pytest.raises(UserError, match="one id in each row: there is none. Received: candi"):
        make(spec)


def test_the_label_of_a_true_candidate():
    spec = slim_spec(labels=[{"name": "like"}, {"name": "share"}])
    labels = np.array([[1, 0], [0, 1]], "float32")
    assert make(spec).rewards(labels).numpy().tolist() == [1, 0]
    model = make(spec, positive_label="share")
    assert model.rewards(labels, [3.0, 2.0]).numpy().tolist() == [0, 2]
    with pytest.raises(
        UserError,
        match="`positive_label` must be a label: like, share. Received: positive_label='shar'. "
        "Did you mean `share`",
    ):
        make(spec, positive_label="shar")
