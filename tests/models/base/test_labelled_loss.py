import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, random_features, random_labels, slim_spec

from lmn_tf.layers.base import RunningMean
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.labelled_loss import LabelledLoss

SPEC = slim_spec(labels=[{"name": "like"}, {"name": "share"}])


class Rowwise(LabelledLoss, CTRModel):
    """Notes the mask, and loses a row's labels and the length of its history."""

    reads_histories = True

    def __init__(self, spec, **kwargs):
        super().__init__(spec, **kwargs)
        self.training_means = [RunningMean(name="noted")]

    def read_histories(self, groups, training=None):
        one = groups["histories"]["clicks"]
        groups["noted"] = one["mask"]
        return [tf.reduce_mean(one["history"], axis=1)]

    def labelled_loss(self, noted, labels, logits):
        assert labels.shape == logits.shape
        rows = tf.reduce_sum(labels, axis=-1) + tf.reduce_sum(tf.cast(noted, tf.float32), -1)
        self.training_means[0].update_state(rows)
        return rows


def make():
    keras.utils.set_random_seed(1)
    model = Rowwise(SPEC, **SMALL)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


@pytest.mark.parametrize("weights", [None, np.arange(6.0, dtype="float32")])
def test_joins_the_loss_of_training_by_the_sample_weights(weights):
    model, features, labels = make(), random_features(SPEC), random_labels(count=2)
    logits = model(features, training=True)
    plain = model.compute_loss(features, labels, tf.identity(logits), weights)
    rows = labels.sum(1) + features["clicks/mask"].sum(1)
    more = np.mean(rows * (1 if weights is None else weights))
    loss = model.compute_loss(features, labels, logits, weights, training=True)
    np.testing.assert_allclose(loss, plain + more, rtol=1e-5)
    evaluated = model.compute_loss(features, labels, logits, weights, training=False)
    np.testing.assert_allclose(evaluated, plain, rtol=1e-6)


def test_means_are_logged_in_training_only():
    model, features, labels = make(), random_features(SPEC), random_labels(count=2)
    data = tf.data.Dataset.from_tensors((features, labels))
    history = model.fit(data, validation_data=data, verbose=0).history
    assert history["noted"][0] == pytest.approx(
        np.mean(labels.sum(1) + features["clicks/mask"].sum(1))
    )
    assert "val_noted" not in history
    assert history["loss"][0] > history["val_loss"][0] + 1


def test_predictions_between_steps_leave_nothing_behind():
    model, features, labels = make(), random_features(SPEC), random_labels(count=2)
    first = model.train_on_batch(features, labels)
    model.predict(random_features(SPEC, rows=9), verbose=0)
    model(random_features(SPEC, rows=3), training=True)
    np.testing.assert_allclose(model.train_on_batch(features, labels), first, rtol=1e-5)


@pytest.mark.slow
def test_replicas_count_in_proportion():
    features, labels = random_features(SPEC), random_labels(count=2)
    losses = []
    for strategy, times in (
        (tf.distribute.get_strategy(), 1),
        (tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), 2),
    ):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = Rowwise(SPEC, **SMALL)
            model.compile(keras.optimizers.SGD(0.0))
        many = {key: np.concatenate([value] * times) for key, value in features.items()}
        data = tf.data.Dataset.from_tensors((many, np.concatenate([labels] * times)))
        data = data.unbatch().batch(6 * times)
        losses.append(model.fit(data, verbose=0).history["loss"][0])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_must_be_overridden():
    with pytest.raises(NotImplementedError, match="`labelled_loss` must be overridden"):
        LabelledLoss().labelled_loss(None, None, None)


def test_terms_that_are_added_to_the_logits_keep_it():
    keras.utils.set_random_seed(1)
    model = Rowwise(SPEC, wide=True, **SMALL)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    features, labels = random_features(SPEC), random_labels(count=2)
    logits = model(features, training=True)
    plain = model.compute_loss(features, labels, tf.identity(logits))
    rows = labels.sum(1) + features["clicks/mask"].sum(1)
    np.testing.assert_allclose(
        model.compute_loss(features, labels, logits), plain + np.mean(rows), rtol=1e-5
    )
