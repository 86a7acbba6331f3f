"""Twice as much to read is at most about twice the work, whatever is wrong with it."""

import sys
import tracemalloc

import pytest

from lmn_tf.specs import spec_file
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import overrides, strict_yaml

SPEC = "spec_version: 1\nname: tiny\nlabels: [{name: click}]\n"
HOUR = "{name: hour, role: context, kind: categorical, lookup: {hash: 9}}"
PIPELINE = (
    "pipeline_version: 1\nfeature_spec: a\ndata: {train: a}\nmodel: {name: dnn}\nrun_dir: a\n"
)
CROSS = "  - {name: x, role: cross, kind: cross, lookup: {hash: 9}, of: ["
COMPARISON = "comparison_version: 1\nname: a\npipeline: a\noutput: a\n"


def lines(count, text):
    return "".join(text.replace("#", str(number)) for number in range(count))


def features(count, more=""):
    text = f"  - {{name: f#, role: user, kind: categorical, lookup: {{hash: 9}}{more}}}\n"
    return "features:\n" + lines(count, text)


TEXTS = {
    "unknown keys": lambda n: SPEC + f"features: [{HOUR}]\n" + lines(n, "key#: 1\n"),
    "unknown keys of a kind": lambda n: lines(n, "key#: 1\n"),
    "unknown keys in features": lambda n: SPEC + features(n, ", loookup: 1"),
    "features": lambda n: SPEC + features(n),
    "features of one table": lambda n: (
        SPEC + "tables: {t: {dim: 4}}\n" + features(n, ", table: t").replace("hash: 9", "learn: {}")
    ),
    "features twice": lambda n: SPEC + features(n) + "  - " + HOUR + "\n  - " + HOUR + "\n",
    "keys twice": lambda n: lines(n, "key#: 1\n") + "key0: 1\n",
    "a cross of all": lambda n: (
        SPEC + features(n) + CROSS + lines(n, "f#,") + "f0]}\n"
    ),
    "a cross of none": lambda n: (
        SPEC + features(n) + CROSS + "a, b]}\n"
    ),
    "a history like all": lambda n: (
        SPEC + features(n) + "sequences:\n  - name: h\n    max_length: 9\n    fields:\n"
        + lines(n, "      - {name: f#, column: c#, like: f#}\n")
    ),
    "a vocabulary": lambda n: (
        SPEC + "features:\n  - " + HOUR.replace("hash: 9", "vocabulary: [" + lines(n, "v#,") + "]")
    ),
    "wrong boundaries": lambda n: (
        SPEC + "features:\n  - {name: f, role: user, kind: numeric, transform: {bucketize: ["
        + lines(n, "x,") + "]}}\n"
    ),
    "a long text": lambda n: SPEC.replace("tiny", "x" * 100 * n) + f"features: [{HOUR}]\n",
    "open variables": lambda n: PIPELINE.replace("feature_spec: a", "feature_spec: " + "${a:-" * n),
    "options": lambda n: PIPELINE.replace("name: dnn", "name: dnn, " + lines(n, "o#: 1, ")),
    "anchors": lambda n: SPEC + lines(n, "k#: &a [*a, *a]\n"),
    "seeds": lambda n: COMPARISON + "models: [{model: {name: dnn}}]\nseeds:\n" + lines(n, "- #\n"),
    "models": lambda n: COMPARISON + "models:\n" + lines(n, "- {label: m#, model: {name: dnn}}\n"),
    "a grid": lambda n: (
        COMPARISON + "models: [{model: {name: dnn}}]\nsearch:\n  trials: 1\n  grid:\n"
        + lines(n, "    model.o#: [" + lines(9, "#,") + "]\n")
        + "    model.x: [" + lines(n, "#,") + "]\n"
    ),
}  # fmt: skip


def read(text):
    data, marks = strict_yaml.loads(text)
    kind = next((key for key in data if key in spec_file.KINDS), None)
    if kind is None:
        raise spec_file._no_kind("a.yaml", data, marks)
    classes = (FeatureSpec, PipelineSpec, ComparisonSpec)
    cls = dict(zip(spec_file.KINDS, classes, strict=True))[kind]
    spec = cls.from_dict(data, marks=marks)
    if cls is FeatureSpec:
        for column in spec.features_and_fields():
            spec.lookup_key(column)


def work(function, *arguments):
    """Returns how many functions were called, of Python and of C."""
    count = 0

    def count_call(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        function(*arguments)
    except UserError:
        pass
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", TEXTS)
def test_work_grows_as_the_file_does(name):
    few, many = (TEXTS[name](count) for count in (250, 1000))
    work(read, few)  # what is made once
    assert work(read, many) < 5 * work(read, few) + 2000


def test_work_grows_as_the_settings_do():
    data = strict_yaml.loads(PIPELINE)[0]
    marks = strict_yaml.loads(PIPELINE + lines(300, "k#: 1\n"))[1]

    def change(count):
        settings = [f"model.o{number}=1" for number in range(count)]
        overrides.apply(data, settings, PipelineSpec)
        marks.without(overrides.paths(settings))

    assert work(change, 400) < 5 * work(change, 100)


def test_of_many_names_the_nearest_one_costs_little():
    names = [f"column_{number:06}" for number in range(100_000)]
    assert did_you_mean("colunm_000007", names) == " Did you mean `column_000007`?"
    assert work(did_you_mean, "zzzz", names) < 60 * 10_000


@pytest.mark.parametrize("name", ["unknown keys", "features", "a vocabulary", "seeds"])
def test_memory_is_a_small_multiple_of_the_file(name):
    text = TEXTS[name](2000)
    tracemalloc.start()
    try:
        read(text)
    except UserError:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 250 * len(text)


def test_a_file_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(strict_yaml, "_MAX_BYTES", 20)
    path = tmp_path / "a.yaml"
    path.write_text("a: 12345678901234567\n")
    with pytest.raises(UserError, match="a.yaml: file must be at most 20 bytes."):
        strict_yaml.load(path)
    path.write_text("a: 1234567890123456\n")
    assert strict_yaml.load(path)[0] == {"a": 1234567890123456}


def test_a_setting_has_a_largest_depth():
    with pytest.raises(
        UserError, match="`--set` must name a key at most 32 deep. Received: 'model"
    ):
        overrides.apply({}, ["model." + "a." * 100_000 + "b=1"], PipelineSpec)
