import math

import pytest

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.training.comparison.search_report import best_trial, search_markdown, search_summary


@pytest.mark.parametrize(
    ("monitor", "best"),
    [("auc", 2), ("logloss", 3), ("gauc", 1)],
)
def test_the_best_trial(monitor, best):
    scores = {
        1: {"auc": 0.7, "logloss": 0.6, "gauc": 0.5},
        2: {"auc": 0.8, "logloss": math.nan, "gauc": None},
        3: {"auc": 0.7, "logloss": 0.5},
        4: None,
    }
    assert best_trial(scores, monitor) == best


def test_of_equals_the_first():
    assert best_trial({1: {"auc": 0.5}, 2: {"auc": 0.5}}, "auc") == 1
    assert best_trial({1: None, 2: {}}, "auc") is None


def summary():
    data = {"comparison_version": 1, "name": "small", "pipeline": "p.yaml", "output": "out"}
    data["models"] = [
        {"label": label, "model": {"name": "lmn"}, "grid": {"model.query_norm": ["none", "batch"]}}
        for label in ("a", "b", "c")
    ]
    data["search"] = {
        "trials": 2,
        "seed": 5,
        "grid": {"train.optimizer.dense.adam": [0.1], "train.optimizer.tables.adam": [0.2]},
    }
    spec = ComparisonSpec.from_dict(data)
    configurations = [
        {
            "model.query_norm": norm,
            "train.optimizer.dense.adam": 0.1,
            "train.optimizer.tables.adam": 0.2,
        }
        for norm in ("none", "batch")
    ]
    good, better = {"auc": 0.61, "logloss": 0.5}, {"auc": 0.623456, "gauc": 0.6, "logloss": 0.4}
    trials = {
        "a": [(configurations[0], good), (configurations[1], better)],
        "b": [(configurations[0], None), (configurations[1], good)],
        "c": [(configurations[0], None), (configurations[1], None)],
    }
    return search_summary(spec, trials, {"a": 2, "b": 2})


def test_summary():
    found = summary()
    assert (found["trials"], found["seed"], found["monitor"]) == (2, 5, "auc")
    model = found["models"]["a"]
    assert (model["configurations"], model["chosen"]) == (2, 2)
    assert model["configuration"]["model.query_norm"] == "batch"
    assert model["trials"][0]["auc"] == 0.61 and model["trials"][0]["gauc"] is None
    assert [trial["failed"] for trial in found["models"]["b"]["trials"]] == [True, False]
    assert found["models"]["c"]["chosen"] is None


def test_markdown():
    lines = search_markdown(summary())
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert lines[2].startswith("2 configurations of each model, drawn and trained with seed 5,")
    assert lines[0] == "## Search" and "by AUC of the validation set" in lines[2]
    assert rows[4] == ["model", "size of its grid", "chosen trial", "AUC (valid)", "configuration"]
    rates = "train.optimizer.dense.adam=0.1, train.optimizer.tables.adam=0.2"
    assert rows[6] == ["a", "2", "2", "0.6235", f"query_norm=batch, {rates}"]
    assert rows[8] == ["c", "2", "-", "-", "-"]
    assert ["a", "2 (chosen)", "0.6235", "0.6000", "0.4000", f"query_norm=batch, {rates}"] in rows
    assert ["b", "1", "failed", "failed", "failed", f"query_norm=none, {rates}"] in rows


def test_models_with_a_smaller_grid_are_named():
    found = summary()
    del found["models"]["b"]["trials"][1], found["models"]["c"]["trials"][1]
    found["models"]["b"]["chosen"] = None
    text = search_markdown(found)[2]
    assert text.startswith("2 configurations of each model (1 of b, 1 of c), drawn and trained")
