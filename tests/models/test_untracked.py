import keras

from lmn_tf.models.untracked import Untracked


def test_keras_does_not_find_the_metrics():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.seen = keras.metrics.Mean(name="seen")
    model.unseen = Untracked([keras.metrics.Mean(name="unseen")])
    assert [metric.name for metric in model.metrics] == ["seen"]
    assert [metric.name for metric in model.unseen.metrics] == ["unseen"]
