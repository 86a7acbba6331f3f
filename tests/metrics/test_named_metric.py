import pytest
from own_modules import write_modules

from lmn_tf.metrics import GroupedAUC
from lmn_tf.metrics.figures import QUALITY
from lmn_tf.metrics.named_metric import METRICS, named_metric, own_metric
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize("figure", QUALITY, ids=lambda figure: figure.name)
def test_every_figure_of_predictions_has_its_metric(figure):
    metric = named_metric(figure.name, label_index=1, prefix="like_")
    assert metric.name == f"like_{figure.name}" and metric.label_index == 1
    assert isinstance(metric, GroupedAUC) == figure.needs_groups


def test_names_are_those_of_figures_and_one_short_form():
    assert [*METRICS] == [*(figure.name for figure in QUALITY), "ne"]
    assert type(named_metric("ne")) is type(named_metric("normalized_entropy"))
    assert [named_metric(name).weight for name in ("gauc", "qauc")] == ["impressions", "uniform"]


def test_a_metric_of_a_user(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    metric = own_metric({"users_metrics:Rows": {"power": 2}}, label_index=1)
    assert (metric.name, metric.label_index, metric.power) == ("rows", 1, 2)
    assert own_metric("users_metrics:Rows").power == 1
    assert own_metric("users_metrics:Grouped").needs_groups and not metric.needs_groups
    for rule, message in (
        ({"users_metrics:Rows": {"power": 0}}, "metric `users_metrics:Rows` refuses .*power=0"),
        ({"users_metrics:Rows": {"powr": 1}}, "refuses its arguments: .*'powr'"),
        ("keras.metrics:Mean", "must be a subclass of `lmn_tf.metrics.LabelMetric`. .*'keras.me"),
    ):
        with pytest.raises(UserError, match=message):
            own_metric(rule)
