import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import BehaviorRetrieval

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


INPUTS = {
    "history": example(4, 6, 3),
    "target": example(4, 5),
    "matches": np.abs(example(4, 6, 2)) + 0.3,
    "keep": np.abs(example(4, 2)) + 0.3,
}


def test_is_a_good_layer():
    check_layer(BehaviorRetrieval, {"top_k": 3}, INPUTS, MASK, zero_when_empty=True)


def literal(layer, history, target, matches, keep, mask):
    """Row by row; the ids of the events that are retrieved, and what is made of them."""
    kernel = layer.kernel.numpy()
    retrieved, rows = [], []
    for events, candidate, match, kept, valid in zip(
        history, target, matches, keep, mask, strict=True
    ):
        score = match @ kept
        places = [place for place in np.flatnonzero(valid) if score[place] > 0]
        places = sorted(places, key=lambda place, score=score: (-score[place], -place))
        places = places[: layer.top_k]
        retrieved.append(places)
        weights = np.exp(events[places] @ (candidate @ kernel))
        rows.append(weights @ events[places] / max(weights.sum(), 1e-30))
    return retrieved, np.array(rows)


def test_equals_the_literal_form(run_mode):
    rng = np.random.default_rng(1)
    history, target = example(60, 7, 3), example(60, 3)
    matches = (rng.random((60, 7, 3)) < 0.4).astype("float32") * [0.5, 1.0, 2.0]
    keep = (rng.random((60, 3)) < 0.6).astype("float32")
    mask = rng.random((60, 7)) < 0.7
    mask[0], keep[1] = False, 0.0
    inputs = (history, target, matches.astype("float32"), keep)
    layer = BehaviorRetrieval(top_k=3)
    layer.build(*(one.shape for one in inputs))
    dirty = np.where(mask[..., None], history, np.float32(np.nan))
    output = run_mode(lambda *args: layer(*args, mask=mask))(dirty, *inputs[1:])
    retrieved, want = literal(layer, *inputs, mask)
    assert {len(places) for places in retrieved} == {0, 1, 2, 3}
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    assert (output.numpy()[:2] == 0).all()


def test_a_fields_keep_has_the_gradient_of_attention_in_proportion_to_the_score():
    history, target = INPUTS["history"][3:], INPUTS["target"][3:]
    matches = tf.constant(INPUTS["matches"][3:])
    layer = BehaviorRetrieval(top_k=6)
    layer(history, target, matches, np.ones((1, 2), "float32"))

    def proportional(keep):
        score = tf.linalg.matvec(matches, keep)
        logits = tf.linalg.matvec(history, tf.matmul(target, layer.kernel))
        start = tf.stop_gradient(score)
        weights = score / start * tf.exp(logits)
        weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
        return tf.reduce_sum(tf.matmul(weights[:, None], history) ** 2)

    keep = tf.ones([1, 2])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(keep)
        loss = tf.reduce_sum(layer(history, target, matches, keep) ** 2)
        other = proportional(keep)
    np.testing.assert_allclose(loss, other, rtol=1e-5)
    np.testing.assert_allclose(
        tape.gradient(loss, keep), tape.gradient(other, keep), rtol=1e-3, atol=1e-6
    )


def test_gradients_are_finite_where_little_or_nothing_matches():
    matches = INPUTS["matches"] * np.float32([[0, 1, 0, 1, 0, 1]]).T
    matches[3] = 0.0
    inputs = [tf.constant(one) for one in {**INPUTS, "matches": matches}.values()]
    layer = BehaviorRetrieval(top_k=4)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(*inputs, mask=MASK) ** 2)
    gradients = tape.gradient(loss, inputs)
    assert all(np.isfinite(one).all() for one in gradients)
    of_keep = gradients[3].numpy()
    assert (np.abs(of_keep).sum(axis=1) > 0).tolist() == [False, False, True, False]


def test_bad_arguments():
    with pytest.raises(ValueError, match="`top_k` must be a positive integer. Received: top_k=0"):
        BehaviorRetrieval(0)
