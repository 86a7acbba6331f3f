import os

import jsonschema
import pytest
from spec_edits import PIPELINE

from lmn_tf.cli.check import check_file
from lmn_tf.models import registry
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_base import inherited
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.schema import json_schema
from lmn_tf.specs.yaml import strict_yaml

BASE = """\
pipeline_version: 1
feature_spec: features.yaml
data: {train: "train-*.csv", valid: "valid-*.csv", batch_size: 64}
model:
  name: lmn
  num_keys: 8
  top_k: 4
train:
  optimizer: {dense: {adam: 0.01}, tables: {row_wise_adagrad: 0.1}}
  epochs: 2
run_dir: runs/base
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="own.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    write(BASE, "base.yaml")
    return write


def own(write, text, base="base.yaml", name="own.yaml"):
    return write(f"pipeline_version: 1\nbase: {base}\n{text}", name)


def test_what_a_pipeline_leaves_out_is_the_base_s(write):
    spec = PipelineSpec.load(own(write, "train: {epochs: 5, seed: 3}\nrun_dir: runs/own\n"))
    alone = PipelineSpec.load(write(BASE, "base.yaml"))
    want = {**alone.to_dict(), "run_dir": "runs/own"}
    want["train"].update(epochs=5, seed=3)
    assert spec.to_dict() == want and spec == PipelineSpec.from_dict(want)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("model: {top_k: 2}", ("model",), {"name": "lmn", "num_keys": 8, "top_k": 2}),
        ("model: {name: lmn, top_k: 2}", ("model",), {"name": "lmn", "num_keys": 8, "top_k": 2}),
        ("model: {name: din}", ("model",), {"name": "din"}),
        ("train: {optimizer: {dense: {adam: 1.0}}}", ("train", "optimizer", "dense"), {"adam": 1}),
        ("train: {optimizer: {dense: {sgd: 1.0}}}", ("train", "optimizer", "dense"), {"sgd": 1}),
        ("data: {valid: null}", ("data", "valid"), None),
        ("data: {batch_size: 32}", ("data", "train"), "train-*.csv"),
    ],
)
def test_how_values_are_written_over_those_of_the_base(text, path, value, write):
    plain = PipelineSpec.load(own(write, text)).to_dict()
    for key in path[:-1]:
        plain = plain[key]
    assert plain.get(path[-1]) == value


def test_generated_data_of_another_kind_take_no_arguments_over(write):
    write(
        BASE.replace("data: {", "data: {directory: d, synthetic: {users: 5, seed: 1}, "), "s.yaml"
    )
    same = PipelineSpec.load(own(write, "data: {synthetic: {seed: 2}}\n", "s.yaml"))
    assert same.data.synthetic == {"users": 5, "seed": 2}
    other = PipelineSpec.load(own(write, "data: {synthetic: {kind: cooccurrence}}\n", "s.yaml"))
    assert other.data.synthetic == {"kind": "cooccurrence"}


def test_a_base_may_have_a_base(write):
    own(write, "train: {epochs: 3, seed: 9}\nrun_dir: runs/middle\n", name="middle.yaml")
    spec = PipelineSpec.load(own(write, "train: {epochs: 4}\n", "middle.yaml"))
    assert (spec.train.epochs, spec.train.seed, spec.run_dir) == (4, 9, "runs/middle")
    assert spec.data.batch_size == 64


def test_the_feature_spec_is_beside_the_file_that_names_it(write, monkeypatch, tmp_path):
    inner = own(write, "", "../base.yaml", name="inner/own.yaml")
    assert PipelineSpec.load(inner).feature_spec_path == tmp_path / "features.yaml"
    nested = own(write, "", "../inner/own.yaml", name="other/own.yaml")
    assert PipelineSpec.load(nested).feature_spec_path == tmp_path / "features.yaml"
    own_one = own(write, "feature_spec: f.yaml\n", "../base.yaml", name="inner/own.yaml")
    assert PipelineSpec.load(own_one).feature_spec_path == tmp_path / "inner" / "f.yaml"
    monkeypatch.setenv("LMN_TF_TEST_SPECS", "/specs")
    write(BASE.replace("features.yaml", "${LMN_TF_TEST_SPECS}/f.yaml"), "base.yaml")
    nested = own(write, "", "../base.yaml", name="other/own.yaml")
    assert str(PipelineSpec.load(nested).feature_spec_path) == "/specs/f.yaml"


def test_a_base_takes_the_environment(write, monkeypatch, tmp_path):
    monkeypatch.setenv("LMN_TF_TEST_BASE", str(tmp_path))
    assert PipelineSpec.load(own(write, "", "${LMN_TF_TEST_BASE}/base.yaml")).train.epochs == 2


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("modle: {name: din}\n", "own.yaml:3", "unknown key `modle`. Did you mean `model`"),
        ("train:\n  epochs: 0\n", "own.yaml:4", "`train.epochs` must be at least 1"),
        (
            "base: base.yaml\n",
            "own.yaml:3",
            "key `base` must be written once. It is also in line 2",
        ),
        (
            "data: {valid: null}\ntrain: {early_stopping: {}}\n",
            "own.yaml:4",
            "`data.valid` must be",
        ),
        ("data: {train: null}\n", "own.yaml:3", "`data.train` must be text. Received: train=None"),
    ],
)
def test_a_mistake_of_the_file_is_told_with_its_line(text, where, message, write):
    with pytest.raises(UserError, match=".") as caught:
        PipelineSpec.load(own(write, text))
    assert f"{where}: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("  epochs: 2", "  epochs: no", 10, "`train.epochs` must be an integer"),
        ("  num_keys: 8", "  num_kys: 8", 6, "`num_kys` must be an option of model `lmn`"),
        ("run_dir: runs/base", "run_dr: a", 11, "unknown key `run_dr`. Did you mean `run_dir`?"),
        ("pipeline_version: 1", "pipeline_version: 2", 1, "`pipeline_version` must be 1"),
        ("pipeline_version: 1", "pipeline_version: 1\nbase: 3", 2, "`base` must be text"),
        ("run_dir: runs/base", "run_dir: [", 12, "file must be valid YAML"),
        ("features.yaml", "nosuch.yaml", 2, "`feature_spec` must be the path of a feature spec"),
    ],
)
def test_a_mistake_of_the_base_is_told_with_its_file_and_line(old, new, line, message, write):
    base = write(BASE.replace(old, new), "base.yaml")
    with pytest.raises(UserError, match=".") as caught:
        check_file(own(write, "train: {seed: 2}\nmodel: {top_k: 2}\n"))
    assert message in caught.value.message
    assert caught.value.file == str(base) and caught.value.line == line


def test_what_settings_replace_has_no_line_of_the_base(write):
    spec = PipelineSpec.load(own(write, "")).with_overrides(["model.top_k=2", "train.epochs=7"])
    assert spec.train.epochs == 7 and spec.model["top_k"] == 2
    assert spec.source[1].location(("train", "seed"), "own.yaml")[0].name == "base.yaml"
    with pytest.raises(UserError, match="^`top_kk` must be an option of model `lmn`"):
        registry.check_model(**_model_and_source(spec.with_overrides(["model.top_kk=2"])))


def _model_and_source(spec):
    return {"model": spec.model, "source": spec.source}


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("bse.yaml", "`base` must be the path of a pipeline. Received: base='bse.yaml', no file."),
        (".", "Received: base='.', a folder"),
        ("/dev/zero", "Received: base='/dev/zero', a device"),
        ("zero.yaml", "Received: base='zero.yaml', a link that leads nowhere"),
        (r'"a\0b.yaml"', r"`base` must be a path without a zero byte. Received: 'a\x00b.yaml'"),
        ("features.yaml", "Received: base='features.yaml', a feature spec"),
        ("comparison.yaml", "Received: base='comparison.yaml', a comparison"),
        ("list.yaml", "Received: base='list.yaml', which has no `pipeline_version`"),
        ("own.yaml", "`base` must not lead back to where it came from. Received:"),
        ("link.yaml", "`base` must not lead back to where it came from. Received:"),
        ("${NO_SUCH_VARIABLE}/a.yaml", "`base` needs the environment variable NO_SUCH_VARIABLE"),
        ("''", "`base` must be text. Received: base=''"),
        ("[base.yaml]", "`base` must be text. Received: base=['base.yaml']"),
    ],
)
def test_what_is_no_base_is_refused_with_the_line_that_names_it(base, message, write, tmp_path):
    write("spec_version: 1\n", "features.yaml")
    write("comparison_version: 1\n", "comparison.yaml")
    write("- 1\n", "list.yaml")
    (tmp_path / "link.yaml").symlink_to("own.yaml")
    (tmp_path / "zero.yaml").symlink_to("nowhere.yaml")
    path = own(write, "", base)
    with pytest.raises(UserError, match=".") as caught:
        PipelineSpec.load(path)
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line) == (str(path), 2)


def test_a_circle_of_several_files_is_told_where_it_closes(write):
    first, second = own(write, "", "second.yaml"), own(write, "", "own.yaml", name="second.yaml")
    with pytest.raises(UserError, match="own.yaml → .*second.yaml → .*own.yaml$") as caught:
        PipelineSpec.load(first)
    assert (caught.value.file, caught.value.line) == (str(second), 2)


def test_bases_are_not_nested_without_end(write):
    for number in range(40):
        own(write, "", f"{number + 1}.yaml", name=f"{number}.yaml")
    with pytest.raises(UserError, match="`base` must be nested at most 32 deep"):
        PipelineSpec.load(own(write, "", "0.yaml"))


def test_a_pipe_is_not_read(write, tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UserError, match="own.yaml:2: `base` must be the path of .*, a named pipe$"):
        PipelineSpec.load(own(write, "", "pipe.yaml"))


def test_each_file_says_that_it_is_a_pipeline(write):
    path = write("base: base.yaml\n")
    with pytest.raises(UserError, match="own.yaml:1: `pipeline_version` must be given"):
        PipelineSpec.load(path)


def test_only_files_have_a_base(write, tmp_path):
    spec = PipelineSpec.load(own(write, ""))
    assert "base" not in spec.to_dict()
    with pytest.raises(UserError, match="^`--set base=a.yaml`: `base` must be in the file of a"):
        spec.with_overrides(["base=a.yaml"])
    plain = {"pipeline_version": 1, "base": "base.yaml"}
    assert PipelineSpec.from_dict(plain, base_dir=tmp_path) == spec
    with pytest.raises(ValueError, match="`base` must be in the file of a pipeline"):
        PipelineSpec(**spec.to_dict(), base="a.yaml")


def test_mistakes_of_plain_data_have_no_line(tmp_path, write):
    with pytest.raises(UserError, match=r"^`base` must be text. Received: base='\\ud800'$"):
        PipelineSpec.from_dict({"pipeline_version": 1, "base": "\ud800"}, base_dir=tmp_path)
    plain = {"pipeline_version": 1, "base": "base.yaml", "train": {"epochs": 0}}
    with pytest.raises(UserError, match="^`train.epochs` must be at least 1"):
        PipelineSpec.from_dict(plain, base_dir=tmp_path)


def test_without_a_base_nothing_changes():
    data, marks = strict_yaml.load(PIPELINE)
    assert inherited(data, marks=marks) == (data, marks)
    assert inherited([1]) == ([1], None)


def test_a_comparison_starts_from_what_is_inherited(write):
    own(write, "train: {seed: 4}\n")
    path = write(
        "comparison_version: 1\nname: a\npipeline: own.yaml\noutput: out\nmodels:\n"
        "- {label: din, model: {name: din}, train: {optimizer: {dense: {sgd: 0.5}}}}\n",
        "comparison.yaml",
    )
    run = ComparisonSpec.load(path).run_pipeline("din")
    assert (run.train.seed, run.data.batch_size, run.model) == (4, 64, {"name": "din"})
    assert run.train.optimizer.dense == {"sgd": 0.5}


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("base: a.yaml\n", True),
        (
            "base: a.yaml\ndata: {eval_rows: 5}\nmodel: {top_k: 3}\nwarm_start: {row_state: true}",
            True,
        ),
        ("base: a.yaml\ntrain: {epoch: 5}\n", False),
        ("base: a.yaml\nmodel: {name: nosuch}\n", False),
        ("base: 3\n", False),
        ("run_dir: runs/a\n", False),
    ],
)
def test_editors_know_pipelines_on_a_base(text, is_valid):
    schema = json_schema({name: registry.record(name).json_schema() for name in registry.names()})
    jsonschema.Draft202012Validator.check_schema(schema)
    data, _ = strict_yaml.loads(f"pipeline_version: 1\n{text}")
    assert jsonschema.Draft202012Validator(schema).is_valid(data) == is_valid
