import pathlib

import pytest
from tiny_run import LMN, document

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.saving.resolved_pipeline import (
    FREE_KEYS,
    check_same_document,
    continued,
    difference,
    resolved_pipeline,
)


def test_paths_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    data = document("runs/a")
    data["data"]["train"] = "data/train-*.parquet"
    resolved = resolved_pipeline(PipelineSpec.from_dict(data))
    assert resolved["data"]["train"] == f"{tmp_path}/data/train-*.parquet"
    assert resolved["run_dir"] == f"{tmp_path}/runs/a"
    assert resolved["feature_spec"] == "feature_spec.yaml"


def test_the_first_key_that_differs_is_told():
    file = pathlib.Path("pipeline.yaml")
    begun = {"train": {"epochs": 2, "checkpoint_steps": 9}, "distribute": {"strategy": "mirrored"}}
    now = {"train": {"epochs": 2, "checkpoint_steps": 1}, "distribute": {"strategy": "default"}}
    check_same_document(file, begun, now)
    now["train"]["epochs"] = 3
    with pytest.raises(UserError, match="`train.epochs` must stay as .*, 2 in pipeline.yaml. Rec"):
        check_same_document(file, begun, now)
    one, other = ({"sequences": [{"name": "h", "max_length": size}]} for size in (2, 3))
    with pytest.raises(UserError, match="`sequences.h.max_length` must stay as .*, 2 in"):
        check_same_document(file, one, other)


BEFORE = {"model": {"name": "lmn"}, "tables": [{"name": "a", "dim": 4}], "run_dir": "x"}


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, None),
        ({"run_dir": "y", "distribute": {"replicas": 2}}, None),
        ({"model": {"name": "din"}}, ("model.name", "lmn", "din")),
        ({"model": {"name": "lmn", "top_k": 2}}, ("model.top_k", None, 2)),
        ({"tables": [{"name": "a", "dim": 8}]}, ("tables.a.dim", 4, 8)),
        ({"tables": ()}, ("tables", None, [])),
    ],
)
def test_the_first_difference_is_found(changes, found):
    assert difference(BEFORE, BEFORE | changes, FREE_KEYS) == found


def test_own_metrics_may_be_names_and_mappings():
    metrics = [{"shop:Hits": {"k": 5}}, "shop:Brier"]
    assert difference({"metrics": metrics}, {"metrics": list(metrics)}) is None
    other = [{"shop:Hits": {"k": 6}}, "shop:Brier"]
    assert difference({"metrics": metrics}, {"metrics": other}) == ("metrics", metrics, other)


def test_a_continued_run_needs_no_repetition_of_its_start():
    given = PipelineSpec.from_dict(document("run"))
    plain = document("run", LMN | {"open_keys": 4})
    plain["warm_start"] = {"run": "/runs/first", "opening_steps": 4}
    stored = PipelineSpec.from_dict(plain)
    assert continued(given, stored) == stored
    assert continued(given, given) is given
