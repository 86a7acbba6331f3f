import pathlib

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import section as s
from lmn_tf.specs.yaml.document import parse
from lmn_tf.specs.yaml.section import Problem, known_keys, path_beside, section, to_plain


@section
class Example:
    """One of each."""

    version: s.Version = 1
    count: s.Count = 1
    flag: s.Flag = False
    integer: s.Integer = 0
    name: s.Name = "a"
    number: s.Number = 0.0
    path: s.PathText = "a"
    positive: s.Positive = 1
    text: s.Text = "a"
    options: s.Options | None = None
    inner: tuple[int, ...] | None = None


@pytest.mark.parametrize(
    "key, value, rule",
    [
        ("version", 2, "must be 1, the only version there is. Received: 2"),
        ("version", True, "must be 1"),
        ("version", 1.0, "must be 1"),
        ("count", 0, "must be at least 1"),
        ("count", 2**31, "must be at most 2147483645"),
        ("flag", 1, "must be true or false"),
        ("flag", "yes", "must be true or false"),
        ("integer", True, "must be an integer"),
        ("integer", 1.0, "must be an integer"),
        ("integer", "1", "must be an integer"),
        ("integer", 2**63, "must be at most"),
        ("integer", 10**90, "must be"),
        ("name", "a b", "must be letters, digits and underscores"),
        ("name", "", "must be letters, digits and underscores"),
        ("name", 1, "must be text"),
        ("number", float("nan"), "must be a finite number"),
        ("number", float("inf"), "must be a finite number"),
        ("number", False, "must be a number"),
        ("number", "1", "must be a number"),
        ("path", "a\0b", r"must be a path without a zero byte. Received: 'a\x00b'"),
        ("path", "${NO_SUCH_VARIABLE}/x", "needs the environment variable NO_SUCH_VARIABLE"),
        ("positive", -1, "must be at least 1"),
        ("text", "", "must be text of 1 character or more"),
        ("text", None, "must be text"),
        ("options", {"options": float("nan")}, "must be a finite number. Received: options=nan"),
        ("options", {"options": [{"a": float("inf")}]}, ".options[0].a` must be a finite number"),
        ("options", {1: 2}, "must be text"),
    ],
)
def test_refuses(key, value, rule):
    with pytest.raises(UserError, match=f"`.*{key}.*` ") as caught:
        parse(Example, {key: value})
    assert rule in str(caught.value)


@pytest.mark.parametrize(
    "text, value",
    [("${A}/x", "1/x"), ("${A:-b}", "1"), ("${B:-b}/${A}", "b/1"), ("${B:-}x", "x"), ("$A", "$A")],
)
def test_paths_take_the_environment(text, value, monkeypatch):
    monkeypatch.setenv("A", "1")
    monkeypatch.delenv("B", raising=False)
    assert parse(Example, {"path": text}).path == value


def test_problems_keep_their_path():
    problem = Problem(["a", 1], "no.")
    assert (problem.path, str(problem)) == (("a", 1), "no.")


def test_paths_beside_a_file(tmp_path):
    assert path_beside("a/b", "../c") == pathlib.Path("a/c")
    assert path_beside("a/b", "/c") == pathlib.Path("/c")
    (tmp_path / "deep" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "real")
    kept = path_beside(tmp_path / "link", "../c")
    assert kept.resolve() == tmp_path / "deep" / "c"


def test_plain_data_leaves_out_what_is_open():
    plain = to_plain({"a": Example(inner=(1, 2)), "b": (None, 1)})
    assert plain["a"]["inner"] == [1, 2]
    assert plain["b"] == [None, 1]
    assert "inner" not in to_plain(Example())
    assert to_plain(Example())["flag"] is False


def test_paths_beside_a_link_to_itself(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert path_beside(tmp_path, "loop") == tmp_path / "loop"


@pytest.mark.parametrize(
    "cls, path, some",
    [
        (FeatureSpec, (), "labels"),
        (FeatureSpec, ("tables", "any"), "combiner"),
        (FeatureSpec, ("features", 0, "lookup", "learn"), "min_count"),
        (FeatureSpec, ("features", 0, "transform", "bucketize"), "quantiles"),
        (FeatureSpec, ("features", 0, "transform", 1, "bucketize"), "quantiles"),
        (FeatureSpec, ("sequences", 0, "events"), "count"),
        (PipelineSpec, ("train", "schedule"), "warmup_steps"),
    ],
)
def test_keys_of_nested_sections(cls, path, some):
    assert some in known_keys(cls, path)


def test_free_mappings_know_no_keys():
    assert known_keys(PipelineSpec, ("model",)) == []
    assert known_keys(PipelineSpec, ("no", "such")) == []
    assert known_keys(PipelineSpec, ("run_dir", 0)) == []
