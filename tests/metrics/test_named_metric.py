import pytest

from lmn_tf.metrics import GroupedAUC
from lmn_tf.metrics.figures import QUALITY
from lmn_tf.metrics.named_metric import METRICS, named_metric


@pytest.mark.parametrize("figure", QUALITY, ids=lambda figure: figure.name)
def test_every_figure_of_predictions_has_its_metric(figure):
    metric = named_metric(figure.name, label_index=1, prefix="like_")
    assert metric.name == f"like_{figure.name}" and metric.label_index == 1
    assert isinstance(metric, GroupedAUC) == figure.needs_groups


def test_names_are_those_of_figures_and_one_short_form():
    assert [*METRICS] == [*(figure.name for figure in QUALITY), "ne"]
    assert type(named_metric("ne")) is type(named_metric("normalized_entropy"))
    assert [named_metric(name).weight for name in ("gauc", "qauc")] == ["impressions", "uniform"]
