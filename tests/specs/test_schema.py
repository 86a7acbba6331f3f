import copy
import json
from pathlib import Path

import jsonschema
import pytest
from spec_edits import COMPARISON, EXAMPLES, FEATURES, PIPELINE

from lmn_tf.models import registry
from lmn_tf.specs import spec_file
from lmn_tf.specs.schema import json_schema
from lmn_tf.specs.yaml import strict_yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *sorted(EXAMPLES.rglob("*.yaml")),
    *sorted((ROOT / "feature_specs").glob("*.yaml")),
    *sorted((ROOT / "pipelines").glob("*.yaml")),
]


def option_schemas():
    names = (*registry.names(), *registry.baselines())
    return {name: registry.record(name).json_schema() for name in names}


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(json.dumps(json_schema(option_schemas())))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accepts_every_file_there_is(path, validator):
    assert [error.message for error in validator.iter_errors(strict_yaml.load(path)[0])] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accepts_what_is_written_out(path, validator):
    plain = spec_file.load(path)[1].to_dict()
    assert [error.message for error in validator.iter_errors(plain)] == []


@pytest.mark.parametrize(
    "file, change",
    [
        (FEATURES, lambda d: d.pop("labels")),
        (FEATURES, lambda d: d.update(spec_version=2)),
        (FEATURES, lambda d: d.update(extra=1)),
        (FEATURES, lambda d: d["tables"]["item"].update(dim=0)),
        (FEATURES, lambda d: d["tables"]["item"].update(optimizer={"adm": 1})),
        (FEATURES, lambda d: d["tables"]["item"].update(optimizer={"adam": 1, "sgd": 1})),
        (FEATURES, lambda d: d["tables"].update({"my table": {"dim": 1}})),
        (FEATURES, lambda d: d["features"][0].update(role="usr")),
        (FEATURES, lambda d: d["features"][0].pop("lookup")),
        (FEATURES, lambda d: d["features"][0].update(lookup={"hash": 3, "identity": 3})),
        (FEATURES, lambda d: d["features"][0].update(lookup={})),
        (FEATURES, lambda d: d["features"][0].update(transform="log1p")),
        (FEATURES, lambda d: d["features"][5].update(transform="log")),
        (FEATURES, lambda d: d["features"][5].update(transform={"bucketize": {"quantiles": 1}})),
        (FEATURES, lambda d: d["features"][5].update(lookup={"hash": 3})),
        (FEATURES, lambda d: d["features"][10].pop("size")),
        (FEATURES, lambda d: d["features"][12].update(num_buckets=0)),
        (FEATURES, lambda d: d["sequences"][0]["fields"][0].pop("like")),
        (FEATURES, lambda d: d["sequences"][0]["fields"][0].update(kind="numeric")),
        (FEATURES, lambda d: d["sequences"][0]["fields"][2].pop("lookup")),
        (FEATURES, lambda d: d["sequences"][0].update(fields=[])),
        (PIPELINE, lambda d: d["model"].update(name="nosuch")),
        (PIPELINE, lambda d: d["model"].pop("name")),
        (PIPELINE, lambda d: d["train"].update(epoch=1)),
        (PIPELINE, lambda d: d["train"].update(seed=-1)),
        (PIPELINE, lambda d: d["train"]["optimizer"].update(dense={"adam": 0})),
        (PIPELINE, lambda d: d["data"].pop("train")),
        (COMPARISON, lambda d: d.update(seeds=[])),
        (COMPARISON, lambda d: d["models"][0]["model"].pop("name")),
    ],
)
def test_refuses(file, change, validator):
    data = copy.deepcopy(strict_yaml.load(file)[0])
    change(data)
    assert not validator.is_valid(data)


def test_any_model_without_a_list_of_them():
    data = strict_yaml.load(PIPELINE)[0]
    data["model"]["name"] = "mine"
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(data)
    del data["model"]["name"]
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(data)


def test_descriptions_are_one_line():
    for definition in json_schema()["$defs"].values():
        assert "\n" not in definition.get("description", "")


def test_every_key_has_its_meaning():
    for name, definition in json_schema(option_schemas())["$defs"].items():
        for key, schema in definition["properties"].items():
            assert schema is True or schema["description"], f"{name}.{key}"
    train = json_schema()["$defs"]["TrainOnBase"]["properties"]
    assert train["epochs"]["description"].startswith("Integer. Number of passes over")
