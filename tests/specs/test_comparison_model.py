import pytest
from spec_edits import COMPARISON, check_refused

from lmn_tf.specs.comparison_spec import ComparisonModel


def test_trains_as_the_pipeline_says_by_default():
    plain = ComparisonModel(label="A", model={"name": "dnn"})
    assert (plain.train, plain.grid) == ({}, {})


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("label: DNN, model", "model", "`label` must be given in `models[0]`"),
        ("label: DNN, model", "label: DNN, modl", "Did you mean `model`?"),
        (
            "label: DNN, model: {name: dnn}",
            "label: DNN, model: dnn",
            "`models[0].model` must be a mapping.",
        ),
        (
            "grid: {model.num_keys: [100, 300]}",
            "grid: {model.num_keys: 3}",
            "`models[2].grid.model.num_keys` must be a list.",
        ),
        ("grid: {model.num_keys", "grid: {modl.num_keys", "Did you mean `model`?"),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(COMPARISON, old, new, message, tmp_path)
