import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import smooth_l1
from lmn_tf.ops.losses import log_loss_reward, score_function_loss


def test_oracle_of_the_memory_loss(run_mode):
    distance = run_mode(smooth_l1)(np.float32([0.0, 2.0]), np.float32([0.731059, 0.268941]))
    np.testing.assert_allclose(distance, [0.267223, 1.231059], atol=1e-6)
    np.testing.assert_allclose(np.mean(distance), 0.749141, atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_is_huber_divided_by_its_width(beta):
    target, prediction = np.random.default_rng(0).normal(size=(2, 50, 1)).astype("float32") * 3
    huber = keras.losses.huber(target, prediction, delta=beta)
    np.testing.assert_allclose(
        smooth_l1(target, prediction, beta)[:, 0], huber / beta, rtol=1e-5, atol=1e-6
    )


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match="`beta` must be a positive number. Received: beta=0"):
        smooth_l1([0.0], [1.0], beta=0)
    with pytest.raises(ValueError, match="`beta` must be a positive number. Received: beta=nan"):
        smooth_l1([0.0], [1.0], beta=float("nan"))


def test_reward():
    probabilities = np.array([[0.5], [0.9], [1 - 1e-9], [0.1], [1e-9]])
    logits = np.log(probabilities / (1 - probabilities)).astype("float32")
    reward = log_loss_reward(np.ones((5, 1)), logits).numpy()
    likelihood = np.log(probabilities[:, 0])
    np.testing.assert_allclose(reward, np.maximum(1 - likelihood / np.log(0.5), -1), atol=1e-5)
    np.testing.assert_allclose(reward[[0, 2, 4]], [0, 1, -1], atol=1e-5)
    zeros = log_loss_reward(np.zeros((5, 1)), -logits)
    np.testing.assert_allclose(zeros, reward, atol=1e-5)


def test_reward_is_averaged_over_labels_and_has_no_gradient():
    logits = tf.constant([[2.0, -1.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        both = log_loss_reward([[1, 0]], logits)
    alone = [log_loss_reward([[label]], logits[:, i : i + 1]) for i, label in enumerate((1, 0))]
    np.testing.assert_allclose(both, (alone[0] + alone[1]) / 2, rtol=1e-6)
    assert tape.gradient(both, logits) is None


@pytest.mark.parametrize("fields", [1, 2, 3])
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_the_expected_gradient_equals_enumeration(fields, baseline):
    rng = np.random.default_rng(fields)
    logits = tf.constant(rng.normal(size=(1, fields)).astype("float32"))
    choices = [np.array([z], "float32") for z in itertools.product((0, 1), repeat=fields)]
    rewards = rng.uniform(-1, 1, len(choices)).astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        p = tf.sigmoid(logits)
        chances = [tf.reduce_prod(tf.where(z > 0, p, 1 - p)) for z in choices]
        minus_expected = -tf.add_n([c * r for c, r in zip(chances, rewards, strict=True)])
    want = tape.gradient(minus_expected, logits)
    got = np.zeros((1, fields))
    for z, chance, reward in zip(choices, chances, rewards, strict=True):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = score_function_loss(logits, z, tf.constant([reward - baseline]))
        got += chance.numpy() * tape.gradient(loss, logits).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_draws_have_that_gradient_on_average():
    logits, reward = tf.constant([[0.3, -1.0]]), np.array([[0.1, 0.9], [-0.4, 0.5]], "float32")
    rng = np.random.default_rng(0)
    draws = (rng.random((200_000, 2)) < tf.sigmoid(logits).numpy()).astype("float32")
    advantage = reward[draws[:, 0].astype(int), draws[:, 1].astype(int)]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        many = tf.repeat(logits, len(draws), axis=0)
        loss = tf.reduce_mean(score_function_loss(many, draws, tf.constant(advantage)))
    p = tf.sigmoid(logits)[0].numpy()
    want = [
        -p[0] * (1 - p[0]) * ((reward[1] - reward[0]) @ [1 - p[1], p[1]]),
        -p[1] * (1 - p[1]) * ((reward[:, 1] - reward[:, 0]) @ [1 - p[0], p[0]]),
    ]
    np.testing.assert_allclose(tape.gradient(loss, logits)[0], want, atol=3e-3)
