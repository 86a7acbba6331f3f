import keras
import pytest

from lmn_tf.metrics import GroupedAUC, StreamingAUC
from lmn_tf.models.base.ctr_metrics import Untracked, make_metrics


def test_one_label_keeps_the_plain_names():
    plain, grouped = make_metrics(["auc", "gauc", "qauc", "logloss", "ne"], ("click",))
    assert [metric.name for metric in plain] == ["auc", "logloss", "ne"]
    assert [(metric.name, metric.weight) for metric in grouped] == [
        ("gauc", "impressions"),
        ("qauc", "uniform"),
    ]


def test_several_labels_have_one_metric_each():
    plain, grouped = make_metrics(["normalized_entropy", "gauc"], ("like", "share"))
    assert [(metric.name, metric.label_index) for metric in plain] == [
        ("like_normalized_entropy", 0),
        ("share_normalized_entropy", 1),
    ]
    assert [(metric.name, metric.label_index) for metric in grouped] == [
        ("like_gauc", 0),
        ("share_gauc", 1),
    ]


def test_metrics_and_other_names_pass():
    given = [GroupedAUC(name="mine"), StreamingAUC(), "mse", keras.metrics.Mean(name="m")]
    plain, grouped = make_metrics(given, ("click",))
    assert grouped == given[:1]
    assert plain == given[1:]
    assert make_metrics(None, ("click",)) == ([], [])
    assert len(make_metrics("auc", ("click",))[0]) == 1


def test_names_must_differ():
    with pytest.raises(ValueError, match="must have names of their own. Received: 'auc' twice"):
        make_metrics(["auc", StreamingAUC()], ("click",))


def test_keras_does_not_find_the_metrics():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.seen = keras.metrics.Mean(name="seen")
    model.unseen = Untracked([keras.metrics.Mean(name="unseen")])
    assert [metric.name for metric in model.metrics] == ["seen"]
    assert [metric.name for metric in model.unseen.metrics] == ["unseen"]
