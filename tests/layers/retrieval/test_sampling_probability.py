import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.layers import SamplingProbability


def slow_twin(batches, num_ids, rate):
    """The gaps of each id, averaged one after another."""
    last, gap, count = np.zeros(num_ids), np.zeros(num_ids), np.zeros(num_ids)
    for step, ids in enumerate(batches, 1):
        for one in set(ids):
            count[one] += 1
            share = max(rate, 1 / count[one])
            gap[one] = (1 - share) * gap[one] + share * (step - last[one])
            last[one] = step
    return np.where(count > 0, 1 / np.maximum(gap, 1e-9), 1 / (len(batches) + 1))


def random_batches(count=60, size=6, num_ids=12):
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, num_ids)
    return rng.choice(num_ids - 1, (count, size), p=popularity / popularity.sum()).astype("int32")


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_gaps_by_hand(run_mode, rate):
    layer, batches = SamplingProbability(12, rate), random_batches()
    layer.build()
    learn = run_mode(lambda ids: layer(ids, training=True))
    for ids in batches:
        probabilities = learn(tf.constant(ids))
    want = slow_twin(batches, 12, rate)
    np.testing.assert_allclose(probabilities, want[batches[-1]], rtol=1e-6)
    every = np.arange(12)
    np.testing.assert_allclose(run_mode(layer)(tf.constant(every)), want, rtol=1e-6)
    assert float(layer.step.numpy()) == len(batches)  # learned in training only
    # The popular ids are in most batches, one is in none.
    assert want[0] > 0.8 and want[0] > want[4] > want[11]


def test_the_estimate_follows_a_change_of_popularity():
    layer, before, after = SamplingProbability(2, rate=0.2), [], []
    for step in range(200):
        layer(np.array([0, 1] if step % 10 == 0 else [0]), training=True)
        before.append(float(layer(np.array([1]))[0]))
    for _ in range(50):
        layer(np.array([1]), training=True)
        after.append(float(layer(np.array([1]))[0]))
    assert before[-1] == pytest.approx(0.1, rel=0.05) and after[-1] == pytest.approx(1.0, abs=1e-3)


def test_a_frozen_layer_learns_nothing():
    layer = SamplingProbability(4)
    layer.trainable = False
    layer(np.array([1, 2]), training=True)
    assert float(layer.step.numpy()) == 0


def test_replicas_see_the_batch_of_all():
    batches = random_batches(count=8)
    strategy = replicas(2)
    with strategy.scope():
        layer = SamplingProbability(12)
        layer.build()

    @tf.function
    def learn(ids):
        def on_replica():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return layer(ids[replica * 2 :][: 2 + 2 * replica], training=True)

        return strategy.run(on_replica)

    for ids in batches:
        learn(tf.constant(ids))
    want = slow_twin(batches, 12, 0.01)
    np.testing.assert_allclose(layer(np.arange(12)), want, rtol=1e-6)


def test_saves_and_loads(tmp_path):
    layer = SamplingProbability(12, rate=0.3)
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    for ids in random_batches(5):
        layer(ids, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(np.arange(12)), model(np.arange(12)))
    assert again.layers[-1].get_config() == layer.get_config()


@pytest.mark.parametrize("rate", [0, 1.5])
def test_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=f"`rate` must be above 0 and at most 1. .* rate={rate}"):
        SamplingProbability(4, rate=rate)


def test_the_number_of_ids_must_be_positive():
    with pytest.raises(ValueError, match="`num_ids` must be a positive integer"):
        SamplingProbability(0)
