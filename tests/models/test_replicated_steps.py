import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, random_features, random_labels, slim_spec
from replicas import replicas

from lmn_tf.layers.replicated_loss import add_replicated_loss
from lmn_tf.models import DNN
from lmn_tf.models.replicated_steps import ReplicatedSteps

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


@pytest.mark.parametrize("weighted", [pytest.param(False, marks=pytest.mark.slow), True])
def test_rows_weigh_the_same_whoever_has_them(weighted):
    one, two = run(1, weighted), run(2, weighted)
    np.testing.assert_allclose(two[0], one[0], rtol=1e-5)
    for first, second in zip(one[1], two[1], strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-6)


def test_models_take_their_steps_so():
    assert issubclass(DNN, ReplicatedSteps)
