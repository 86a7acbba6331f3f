import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, random_features, random_labels, slim_spec

from lmn_tf.callbacks import StopAtDivergence
from lmn_tf.models import DNN
from lmn_tf.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lmn_tf.specs.errors import UserError

STEPS = 6


def batches(spec, steps=STEPS, weights=None):
    data = [random_features(spec, rows=8 * steps), random_labels(8 * steps)]
    if weights is not None:
        data.append(weights)
    return tf.data.Dataset.from_tensor_slices(tuple(data)).batch(8)


def train(optimizer, weights=None, model=DNN, **options):
    spec = slim_spec()
    model = model(spec, **SMALL, **options)
    model.compile(optimizer)
    model.fit(batches(spec, weights=weights), verbose=0, callbacks=[StopAtDivergence()])
    return model


def test_says_at_which_step_and_what_made_it():
    with pytest.raises(UserError, match=r"at step [3-6]\. The loss had grown from 0\.\d+ to \d"):
        train(keras.optimizers.SGD(1e6))


def test_one_number_far_too_large_stops_its_own_step():
    weights = np.ones(8 * STEPS, "float32")
    weights[27] = np.inf
    with pytest.raises(UserError, match=r"at step 4\. The loss was .* a number in the data"):
        train(keras.optimizers.SGD(0.01), weights)


def test_a_first_step_has_no_loss_before_it():
    with pytest.raises(UserError, match="at step 1. No loss is known from before it"):
        train(keras.optimizers.SGD(0.01), np.full(8 * STEPS, np.nan, "float32"))


class Steep(DNN):
    """A model of finite losses, with a gradient that is infinite once a step is taken."""

    def interact(self, vector, groups, training=None):
        taken = tf.cast(tf.convert_to_tensor(self.optimizer.iterations) > 1, vector.dtype)
        # The root has no slope at 0.
        return vector + 1e-9 * tf.sqrt(tf.abs(vector) * (1.0 - taken))


def test_a_gradient_that_is_not_finite_stops_its_own_step():
    with pytest.raises(UserError, match="The loss and its gradients must be finite.*at step 3"):
        train(keras.optimizers.SGD(0.01), model=Steep)


def test_loss_scaling_leaves_out_steps_and_trains_on():
    optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.01), initial_scale=2.0**126)
    model = train(optimizer)
    scale = float(model.optimizer.dynamic_scale)
    assert scale < 2.0**126  # so steps were left out
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_float16_names_its_limit():
    with pytest.raises(UserError, match="float16 numbers end at 65,504: train in `mixed_bfloat16`"):
        train(keras.optimizers.SGD(0.1), np.full(8 * STEPS, np.inf), dtype="mixed_float16")


def test_means_of_layers_count_and_metrics_that_do_not_exist_do_not():
    callback = StopAtDivergence(first_step=7)
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.memory_loss = keras.metrics.Mean("memory_loss")
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_batch_end(0, {"loss": 1.0, "auc": float("nan"), "memory_loss": 2.0})
    with pytest.raises(UserError, match="`memory_loss` must be finite. Received: memory_loss=inf"):
        callback.on_train_batch_end(1, {"loss": 1.0, "memory_loss": float("inf")})


def test_the_steps_that_end_with_an_epoch_count():
    callback = StopAtDivergence()
    with pytest.raises(UserError, match="Received: loss=inf at step 0"):
        callback.on_epoch_end(0, {"loss": float("inf")})


@pytest.mark.parametrize("scale", [2.0**-13, 2.0**-15])
def test_a_loss_scale_that_only_falls_ends_training(scale):
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(LossScaleOptimizer(keras.optimizers.SGD()), "mse")
    model.optimizer.build(model.trainable_variables)
    model.optimizer.dynamic_scale.assign(scale)
    callback = StopAtDivergence(first_step=0)
    callback.set_model(model)
    if scale > 2.0**-14:
        callback.on_train_batch_end(0, {"loss": 0.5})
        return
    message = "Gradients must be finite. Received: steps left out until the loss scale was 3.05e-05"
    for end in (callback.on_train_batch_end, callback.on_epoch_end):
        with pytest.raises(UserError, match=message):
            end(0, {"loss": 0.5})


def test_steps_are_counted_where_several_run_at_once():
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), "mse", steps_per_execution=4)
    callback = StopAtDivergence()
    data = np.zeros((10, 2), "float32"), np.zeros((10, 1), "float32")
    model.fit(*data, batch_size=1, epochs=3, verbose=0, callbacks=[callback])
    assert callback._steps == 30
