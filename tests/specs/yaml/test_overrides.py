import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml.overrides import apply, explained, merge, paths, replaced

ADAM = ("optimizer", "dense", "adam")


@pytest.mark.parametrize(
    "setting, data",
    [
        ("train.epochs=2", {"train": {"epochs": 2}}),
        ("train.schedule.kind=cosine", {"train": {"schedule": {"kind": "cosine"}}}),
        ("model.top_k=[1, 2]", {"model": {"top_k": [1, 2]}}),
        ("model.new.deep=x", {"model": {"new": {"deep": "x"}}}),
        ("run_dir=runs/a=b", {"run_dir": "runs/a=b"}),
        ("data.test=", {"data": {"test": None}}),
        ("train.optimizer.tables={sgd: 1}", {"train": {"optimizer": {"tables": {"sgd": 1}}}}),
    ],
)
def test_values_are_yaml(setting, data):
    assert apply({}, [setting], PipelineSpec) == data


def test_the_given_data_stay_as_they_are():
    data = {"train": {"epochs": 1}}
    assert apply(data, ["train.epochs=2"], PipelineSpec) == {"train": {"epochs": 2}}
    assert data == {"train": {"epochs": 1}}


@pytest.mark.parametrize(
    "setting, message",
    [
        ("train.epochs", "`--set` must be KEY=VALUE. Received: 'train.epochs'"),
        ("=2", "`--set` must be KEY=VALUE"),
        ("train..epochs=2", "`--set` must be KEY=VALUE"),
        ("trian.epochs=2", "`--set trian.epochs`: unknown key `trian`. Did you mean `train`?"),
        ("train.epoch=2", "unknown key `epoch` in `train`. Did you mean `epochs`?"),
        ("run_dir.x=2", "`run_dir` must be a mapping to set a key in it. Received: run_dir='a'"),
        ("train.epochs=[", "`--set train.epochs=[`: file must be valid YAML"),
    ],
)
def test_refuses(setting, message):
    with pytest.raises(UserError, match=".") as caught:
        apply({"run_dir": "a"}, [setting], PipelineSpec)
    assert message in str(caught.value)


def test_merge_writes_over_what_is_nested():
    data = {"a": {"b": 1, "c": {"d": 2}}, "e": 3}
    assert merge(data, {"a": {"c": {"f": 4}}, "e": {"g": 5}}) == {
        "a": {"b": 1, "c": {"d": 2, "f": 4}},
        "e": {"g": 5},
    }
    assert data["a"]["c"] == {"d": 2}


@pytest.mark.parametrize("part", ["dense", "tables", "pairs"])
def test_another_optimizer_replaces_the_one_before(part):
    data = {"train": {"optimizer": {part: {"adam": 1.0, "beta_1": 0.8}}}}
    merged = merge(data, {"train": {"optimizer": {part: {"sgd": 2.0}}}})
    assert merged == {"train": {"optimizer": {part: {"sgd": 2.0}}}}


@pytest.mark.parametrize(
    "changes, paths",
    [
        ({"train": {"seed": 2, "optimizer": {"dense": {"adam": 1}}}}, [("seed",), ADAM]),
        ({"train": {"optimizer": {"dense": {"sgd": 1}}}}, [("optimizer", "dense")]),
        ({"train": {"optimizer": {"dense": {}}}}, []),
        ({"train": {"optimizer": None}}, [("optimizer",)]),
    ],
)
def test_what_merge_replaces_is_told(changes, paths):
    data = {"train": {"epochs": 1, "optimizer": {"dense": {"adam": 2}}}}
    assert replaced(data, changes) == [("train", *path) for path in paths]
    merged = merge(data, changes)["train"]
    assert merged["epochs"] == 1
    assert merged["optimizer"] is None or len(merged["optimizer"]["dense"]) == 1


def test_errors_are_told_to_come_from_the_settings():
    def fail():
        raise UserError("no.")

    with pytest.raises(UserError, match="^`--set a=1 --set b=2`: no.$"):
        explained(["a=1", "b=2"], fail)
    with pytest.raises(UserError, match="^no.$"):
        explained([], fail)
    assert explained([], lambda: 3) == 3


def test_paths():
    assert paths(["train.epochs=2", " model =a.b=c"]) == [("train", "epochs"), ("model",)]
