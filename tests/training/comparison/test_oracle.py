import json

import pytest
from tiny_run import document, market

from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.comparison.oracle import find_oracle

ORACLE = {"auc": 0.875, "logloss": 0.25}


def models(*values):
    return {"din": {"seeds": [1, 2], "auc": {"values": list(values)}}, "none": {"seeds": [1]}}


def pipeline(folder, **data):
    plain = document(folder / "unused")
    return PipelineSpec.from_dict({**plain, "data": {**plain["data"], **data}})


def test_it_stands_beside_the_data(tmp_path):
    oracle = json.loads((market() / "oracle.json").read_text())
    assert find_oracle(pipeline(tmp_path), None, {"models": {}}) == oracle["test"]


@pytest.mark.parametrize(
    ("before", "now", "kept"),
    [
        (models(0.7, 0.71), models(0.7, 0.71), True),
        (models(0.7, 0.71), {"din": {"seeds": [2, 3], "auc": {"values": [0.71, 0.6]}}}, True),
        (models(0.7, 0.71), models(0.7, 0.7100001), False),  # runs on other data
        (models(0.7, 0.71), {"lmn": models(0.7, 0.71)["din"]}, False),
        (None, models(0.7, 0.71), False),
    ],
)
def test_it_is_kept_where_the_data_are_not_if_the_runs_are_the_same(before, now, kept, tmp_path):
    data = {part: f"{tmp_path}/gone/{part}-*.parquet" for part in ("train", "valid", "test")}
    earlier = before and {"oracle": ORACLE, "models": before}
    found = find_oracle(pipeline(tmp_path, **data), earlier, {"models": now})
    assert found == (ORACLE if kept else None)


def test_runs_of_other_values_of_a_curve_tell_as_well(tmp_path):
    data = {"train": "gone/a.parquet", "valid": None, "test": "gone/b.parquet"}
    points = [{"value": 10, "models": models(0.6, 0.61)}, {"value": 20, "models": {}}]
    now = {"models": {}, "curve": {"key": "model.num_keys", "points": points}}
    before = {"oracle": ORACLE, **now, "models": models(0.7, 0.71)}
    assert find_oracle(pipeline(tmp_path, **data), before, now) == ORACLE
    points = [{"value": 10, "models": models(0.6, 0.62)}]
    changed = {"models": {}, "curve": {"key": "model.num_keys", "points": points}}
    assert find_oracle(pipeline(tmp_path, **data), before, changed) is None


@pytest.mark.parametrize(
    "earlier", [[], {}, {"oracle": 1, "models": []}, {"oracle": 1, "models": {"din": {"auc": 1}}}]
)
def test_a_damaged_file_has_none(earlier, tmp_path):
    data = {"train": "gone/a.parquet", "valid": None, "test": "gone/b.parquet"}
    assert find_oracle(pipeline(tmp_path, **data), earlier, {"models": {}}) is None
