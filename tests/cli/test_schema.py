import dataclasses
import json
import re

import jsonschema
import own_shop
from tiny_run import document

from lmn_tf.cli.main import main
from lmn_tf.cli.schema import page
from lmn_tf.specs.schema import sections


def test_prints_a_valid_schema_that_knows_the_models(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    model = schema["$defs"]["PipelineSpec"]["properties"]["model"]
    assert "lmn" in model["properties"]["name"]["anyOf"][0]["enum"]


def test_the_page_has_a_table_of_each_section(capsys):
    assert main(["schema", "--markdown"]) == 0
    text = capsys.readouterr().out
    assert text == page()
    found = dict(re.findall(r"^##+ ([^\n]+)\n\n(.*?)(?=^##|\Z)", text, re.S | re.M))
    titles = {"FeatureSpec": "Feature spec", "PipelineSpec": "Pipeline"}
    titles["ComparisonSpec"] = "Comparison"
    assert set(found) == {titles.get(name, name) for name in sections()}
    for name, cls in sections().items():
        keys = re.findall(r"^\| `(\w+)` \|", found[titles.get(name, name)], re.M)
        assert set(keys) == {field.name for field in dataclasses.fields(cls)}


def test_rows_of_the_page_have_type_default_and_meaning():
    text = page()
    assert "| `epochs` | int ≥ 1 | `1` | Number of passes over the training data. |\n" in text
    assert "| `dim` | int ≥ 1, ≤ 1000000 | required | Width of a vector. |\n" in text
    assert "| `optimizer` | [Optimizer](#optimizer) |  |" in text
    assert (
        "| `tables` | mapping of names to float > 0 or mapping | `{row_wise_adagrad: 0.05}` |"
        in text
    )
    assert "| `base` | str | " in text
    weights = "| `weights` | str or null | `null` | Column with a weight for each value of a"
    assert f"{weights} multi_value column. | multi_value |\n" in text
    anchors = {title.lower() for title in re.findall(r"^##+ (.+)", text, re.M)}
    assert set(re.findall(r"\(#(.+?)\)", text)) <= anchors


def test_parts_of_users_are_accepted(capsys, tmp_path, monkeypatch):
    points = {"lmn_tf.models": {"towers": "a:B"}, "lmn_tf.optimizers": {"plain": "a:C"}}
    own_shop.register(tmp_path, "my-shop", points)
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["schema"]) == 0
    schema = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))

    def accepts(model="dnn", metrics=(), **optimizer):
        data = {**document("run", {"name": model}, optimizer=optimizer), "metrics": [*metrics]}
        return schema.is_valid(data)

    assert accepts("towers") and accepts("a.b:C") and accepts("dnn")
    assert not (accepts("tower") or accepts("a.b.C") or accepts("a:b:C"))
    assert accepts(dense={"plain": 0.1}) and accepts(tables={"a.b:C": {"learning_rate": 0.1}})
    assert not (accepts(dense={"plan": 0.1}) or accepts(dense={"a:B": 0, "adam": 1}))
    assert not (accepts(dense={"a.b:C": 0}) or accepts(dense={"a.b:C": {"learning_rate": 0}}))
    assert accepts(metrics=["a.b:C", {"a.b:C": {"k": 3}}]) and not accepts(metrics=[3])
    definition = schema.schema["$defs"]["Optimizer"]["properties"]["dense"]
    assert {"adam", "plain"} <= set(definition["properties"])  # which editors complete
