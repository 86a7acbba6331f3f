import json

import pytest
from spec_edits import EXAMPLES, FEATURES, PIPELINE, check_refused

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml

MOVIELENS = EXAMPLES / "pipelines" / "movielens_1m_lmn.yaml"


@pytest.mark.parametrize("path", [PIPELINE, MOVIELENS], ids=lambda path: path.stem)
def test_round_trip(path, tmp_path):
    spec = PipelineSpec.load(path)
    plain = spec.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert PipelineSpec.from_dict(plain) == spec
    written = tmp_path / "pipeline.yaml"
    written.write_text(strict_yaml.dump(plain), encoding="utf-8")
    assert PipelineSpec.load(written) == spec


def test_the_documented_example_reads_as_documented():
    spec = PipelineSpec.load(MOVIELENS)
    assert spec.model_name == "lmn"
    assert spec.model_options == {"num_keys": 300, "top_k": 32, "memory_loss_weight": 0.1}
    assert spec.data.train == "data/train-*.parquet"
    assert spec.distribute.strategy == "none"


def test_the_feature_spec_is_relative_to_the_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = PipelineSpec.load(PIPELINE)
    assert spec.feature_spec_path.resolve() == FEATURES.resolve()
    assert spec.load_feature_spec() == FeatureSpec.load(FEATURES)


def test_paths_take_the_environment(monkeypatch):
    monkeypatch.delenv("LMN_TF_EXAMPLE_DATA", raising=False)
    assert PipelineSpec.load(PIPELINE).data.train == "data/everything/train-*.parquet"
    monkeypatch.setenv("LMN_TF_EXAMPLE_DATA", "/elsewhere")
    assert PipelineSpec.load(PIPELINE).data.train == "/elsewhere/train-*.parquet"


def test_overrides():
    spec = PipelineSpec.load(PIPELINE)
    changed = spec.with_overrides(["train.epochs=9", "model.dropout=0.5", "data.test=null"])
    assert (changed.train.epochs, spec.train.epochs) == (9, 3)
    assert changed.model_options == {"hidden_units": [64, 32], "dropout": 0.5}
    assert changed.data.test is None
    assert changed.feature_spec_path == spec.feature_spec_path
    assert spec.with_overrides([]) == spec


def test_what_overrides_leave_keeps_its_line():
    spec = PipelineSpec.load(PIPELINE)
    file, marks = spec.with_overrides(["model.dropout=0.5"]).source
    assert file == PIPELINE
    assert marks.line(("model", "name")) == spec.source[1].line(("model", "name"))
    assert marks.line(("model", "dropout")) is None
    assert PipelineSpec.from_dict(spec.to_dict()).with_overrides([]).source == (None, None)


@pytest.mark.parametrize(
    "setting, message",
    [
        ("train.epochs=-1", "`--set train.epochs=-1`: `train.epochs` must be at least 1."),
        ("data.valid=null", "`data.valid` must be given for `train.early_stopping`."),
        ("train.epoch=1", "Did you mean `epochs`?"),
        ("train.optimizer.dense.sgd=1", "must name exactly one optimizer. Received: adam, sgd"),
        ("model.name=", "`name` must be given in `model`"),
        ("run_dir=${NO_SUCH_VARIABLE}", "needs the environment variable NO_SUCH_VARIABLE"),
    ],
)
def test_bad_overrides(setting, message):
    with pytest.raises(UserError, match=".") as caught:
        PipelineSpec.load(PIPELINE).with_overrides([setting])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("{name: din,", "{", "`name` must be given in `model`. Received: nothing"),
        ("{name: din,", "{name: 3,", "`name` must be text. Received: name=3"),
        ("model: {", "modle: {", "unknown key `modle`. Did you mean `model`?"),
        (
            "${LMN_TF_EXAMPLE_DATA:-data/everything}",
            "${NO_SUCH_VARIABLE}",
            "`data.train` needs the environment variable NO_SUCH_VARIABLE, which is not set",
        ),
        ("run_dir: runs/everything", "run_dir: [a]", "`run_dir` must be text."),
        (
            "pipeline_version: 1",
            "pipeline_version: '1'",
            "`pipeline_version` must be 1, the only version there is.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)


def test_early_stopping_by_group_needs_a_group():
    spec = PipelineSpec.load(PIPELINE)
    features = FeatureSpec.load(FEATURES)
    spec.check_features(features)
    ungrouped = FeatureSpec.from_dict({**features.to_dict(), "group": None})
    with pytest.raises(UserError, match="`train.early_stopping.monitor` must be auc or logloss"):
        spec.check_features(ungrouped)
    spec.with_overrides(["train.early_stopping.monitor=auc"]).check_features(ungrouped)


def test_the_feature_spec_is_told_the_delimiter():
    spec = PipelineSpec.load(PIPELINE)
    assert spec.load_feature_spec().assets.delimiter is None
    for setting in ("data.delimiter=;", r'data.delimiter="\t"', r"data.delimiter=\t"):
        given = spec.with_overrides([setting])
        assert given.load_feature_spec().assets.delimiter in (";", "\t")
        assert PipelineSpec.from_dict(given.to_dict(), base_dir=given.base_dir) == given
