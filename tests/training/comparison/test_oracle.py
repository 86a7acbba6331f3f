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
    assert find_oracle(pipeline(tmp_path), tmp_path / "none.json", {}) == oracle["test"]


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
    earlier = tmp_path / "comparison.json"
    if before is not None:
        earlier.write_text(json.dumps({"oracle": ORACLE, "models": before}))
    assert find_oracle(pipeline(tmp_path, **data), earlier, now) == (ORACLE if kept else None)


@pytest.mark.parametrize("text", ["{", "{}", '{"oracle": 1, "models": {"din": {"auc": 1}}}'])
def test_a_damaged_file_has_none(text, tmp_path):
    (tmp_path / "comparison.json").write_text(text)
    data = {"train": "gone/a.parquet", "valid": None, "test": "gone/b.parquet"}
    assert find_oracle(pipeline(tmp_path, **data), tmp_path / "comparison.json", {}) is None
