import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas
from row_twins import pooled_model

from lmn_tf.optimizers import GroupOptimizer, LossScaleOptimizer, RowWiseAdagrad, averaged_weights
from lmn_tf.optimizers.moving_averages import use_averages

MOMENTUM = 0.8


def group(**options):
    dense = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=MOMENTUM, **options)
    return GroupOptimizer(dense, RowWiseAdagrad(0.1))


def average(weights):
    """The slow twin: the moving average of one array a step, in float64."""
    mean = np.float64(weights[0])
    for weight in weights[1:]:
        mean = MOMENTUM * mean + (1 - MOMENTUM) * np.float64(weight)
    return mean


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 16, (64, 5)), rng.integers(0, 2, (64, 1)).astype("float32")


def trained(model, data):
    """Takes four steps; returns the weights after each of them."""
    seen = []
    for at in range(0, 64, 16):
        model.train_on_batch(*(part[at : at + 16] for part in data))
        seen.append(model.get_weights())
    return seen


@pytest.mark.parametrize("wrapper", [None, LossScaleOptimizer])
def test_holds_the_averages_and_gives_the_weights_back(wrapper, data):
    model = pooled_model(wrapper(group(), initial_scale=1.0) if wrapper else group())
    table, *dense = zip(*trained(model, data), strict=True)
    with averaged_weights(model.optimizer):
        got = model.get_weights()
    np.testing.assert_array_equal(got[0], table[-1])  # has no average
    for one, weights in zip(got[1:], dense, strict=True):
        assert not np.allclose(one, weights[-1], rtol=1e-5)
        np.testing.assert_allclose(one, average(weights), rtol=1e-5, atol=1e-7)
    for one, other in zip(model.get_weights(), (table[-1], *(w[-1] for w in dense)), strict=True):
        np.testing.assert_array_equal(one, other)
    use_averages(model.optimizer)
    for one, other in zip(model.get_weights(), got, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_come_back_after_an_error(data):
    model = pooled_model(group())
    *_, last = trained(model, data)
    with pytest.raises(KeyError, match="stop"), averaged_weights(model.optimizer):
        raise KeyError("stop")
    for one, other in zip(model.get_weights(), last, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("optimizer", [group, lambda: keras.optimizers.SGD(0.1)])
def test_weights_without_averages_stay(optimizer):
    model = pooled_model(optimizer())  # has made no step
    before = model.get_weights()
    with averaged_weights(model.optimizer):
        for one, other in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)


def test_two_replicas_average_as_one(data):
    def train(strategy):
        with strategy.scope():
            model = pooled_model(group())
        model.fit(*data, batch_size=16, shuffle=False, verbose=0)
        raw = model.get_weights()
        # Keras has ended `fit` with the averages: other weights show what is swapped, on each copy.
        for weight in model.trainable_variables:
            weight.assign(weight + 1.0)
        copies = [getattr(one.value, "values", (one.value,)) for one in model.trainable_variables]
        with averaged_weights(model.optimizer):
            held = [[copy.numpy() for copy in each] for each in copies]
        back = [[copy.numpy() for copy in each] for each in copies]
        return raw, held, back

    (want, _, _), (raw, held, back) = train(tf.distribute.get_strategy()), train(replicas(2))
    for index, average in enumerate(want):
        np.testing.assert_allclose(raw[index], average, rtol=1e-4, atol=1e-6)
        assert len(held[index]) == 2
        for copy, restored in zip(held[index], back[index], strict=True):
            # The table, which is the first, has no average.
            np.testing.assert_array_equal(copy, raw[index] + (index == 0))
            np.testing.assert_array_equal(restored, raw[index] + 1)


def test_fit_of_keras_evaluates_and_ends_with_the_averages(data):
    model, seen = pooled_model(group()), []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(self.model.get_weights())

    history = model.fit(
        *data,
        batch_size=16,
        shuffle=False,
        verbose=0,
        validation_data=data,
        callbacks=[Watch(), keras.callbacks.SwapEMAWeights()],
    ).history
    assert len(seen) == 4
    *dense, table = [average(weights) for weights in list(zip(*seen, strict=True))[1:]], seen[-1][0]
    for one, other in zip(model.get_weights(), (table, *dense[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert history["val_loss"] == [pytest.approx(model.evaluate(*data, verbose=0), abs=1e-6)]
