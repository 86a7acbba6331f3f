import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, SMALL_MEMORY, random_features, random_labels, slim_spec
from replicas import replicas

from lmn_tf.layers.base import add_replicated_loss
from lmn_tf.models import DNN, LMN

ROWS = 9  # of which two replicas take five and four, and of the last batch one takes all


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Costly(DNN):
    """A model whose parts add to its loss: the mean square of the vector, over rows."""

    def interact(self, vector, groups, training=None):
        loss = tf.reduce_sum(tf.square(vector)) / tf.cast(
            tf.maximum(tf.shape(vector)[0], 1), tf.float32
        )
        add_replicated_loss(self.encoder, 0.1 * loss, count=tf.shape(vector)[0])
        return super().interact(vector, groups, training=training)


def run(count, weighted):
    keras.utils.set_random_seed(1)
    spec = slim_spec()
    strategy = replicas(count) if count > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        model = Costly(spec, **SMALL)
        model.compile(keras.optimizers.SGD(0.5))
        model.build()
    data = [random_features(spec, rows=ROWS), random_labels(ROWS)]
    if weighted:
        data.append(np.linspace(0.1, 2.0, ROWS).astype("f"))
    dataset = tf.data.Dataset.from_tensor_slices(tuple(data)).batch(8)
    history = model.fit(dataset, epochs=2, verbose=0).history["loss"]
    return [*history, model.evaluate(dataset, verbose=0)], model.get_weights()


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
def test_rows_weigh_the_same_whoever_has_them(weighted):
    one, two = run(1, weighted), run(2, weighted)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
    for first, second in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)


def gradients(count, rows):
    """The gradients of one step of LMN, by the part of the path that all runs share."""
    keras.utils.set_random_seed(1)
    spec = slim_spec()
    strategy = replicas(count) if count > 1 else tf.distribute.get_strategy()
    with strategy.scope():
        model = LMN(spec, **SMALL_MEMORY, key_balance_weight=0.1)
        model.compile(keras.optimizers.SGD(1.0))
        model.build()
    before = [one.numpy() for one in model.trainable_variables]
    data = random_features(spec, rows=rows), random_labels(max(rows, 2))[:rows]
    model.fit(tf.data.Dataset.from_tensors(data), verbose=0)
    pairs = zip(model.trainable_variables, before, strict=True)
    return {one.path.split("/", 1)[1]: start - one.numpy() for one, start in pairs}


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 8])  # of one row one replica has none
def test_the_gradient_of_a_memory_is_that_of_one_device(rows):
    one, two = gradients(1, rows), gradients(2, rows)
    largest = max(np.abs(each).max() for each in one.values())
    for path, gradient in one.items():
        np.testing.assert_allclose(two[path], gradient, atol=3e-6 * largest, err_msg=path)


@pytest.mark.slow
def test_what_is_left_between_one_device_and_two_is_rounding():
    """Batch normalization takes away the bias in front of it, whose gradient is rounding alone.

    Adam makes a whole step of any gradient, however small, so that one device and two part.
    """
    one, two = gradients(1, 8), gradients(2, 8)
    largest = max(np.abs(each).max() for each in one.values())
    path = "clicks_memory/memory/row_query/bias"
    assert np.abs(one[path]).max() < 1e-6 * largest
    steps = [each[path] / (np.abs(each[path]) + 1e-7) for each in (one, two)]
    assert np.abs(steps[0] - steps[1]).max() > 1e-3
