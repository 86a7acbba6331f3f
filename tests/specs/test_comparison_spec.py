import dataclasses

import pytest
from spec_edits import COMPARISON, check_refused

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError


@pytest.fixture
def spec():
    return ComparisonSpec.load(COMPARISON)


def test_round_trip(spec):
    assert ComparisonSpec.from_dict(spec.to_dict()) == spec
    assert spec.to_dict()["models"][0] == {
        "label": "DNN",
        "model": {"name": "dnn"},
        "train": {},
        "data": {},
        "grid": {},
    }
    assert spec.to_dict()["search"]["monitor"] == "logloss"


def test_the_base_is_the_first_unless_named(spec):
    assert spec.base_label == "DIN"
    plain = spec.to_dict()
    del plain["base"]
    assert ComparisonSpec.from_dict(plain).base_label == "DNN"


def test_each_run_is_the_pipeline_with_its_own_model(spec):
    base = spec.load_pipeline()
    run = spec.run_pipeline("DIN", seed=3)
    assert run.model == {"name": "din"}
    assert (run.train.epochs, run.train.seed) == (2, 3)
    assert run.train.optimizer.dense == {"adam": 0.002}
    assert run.train.optimizer.tables == base.train.optimizer.tables
    assert run.feature_spec_path == base.feature_spec_path
    assert spec.run_pipeline("DNN", base=base).train == base.train
    with pytest.raises(KeyError, match="`LNM` must be a model's label. Did you mean `LMN`?"):
        spec.run_pipeline("LNM")


def test_batches_may_differ_from_row_to_row(spec):
    plain = spec.to_dict()
    plain["models"][1]["data"] = {"rows_per_group": 16}
    spec = ComparisonSpec.from_dict(plain, base_dir=COMPARISON.parent)
    base = spec.load_pipeline().data
    assert spec.run_pipeline("DNN").data == base and base.rows_per_group == 1
    assert spec.run_pipeline("DIN").data == dataclasses.replace(base, rows_per_group=16)


def test_a_configuration_is_written_over_the_model_and_its_training(spec):
    configuration = {"model.num_keys": 5, "train.optimizer.dense": {"sgd": 1.0}}
    run = spec.run_pipeline("DIN", seed=3, configuration=configuration)
    assert run.model == {"name": "din", "num_keys": 5}
    assert run.train.optimizer.dense == {"sgd": 1.0} and run.train.epochs == 2
    assert spec.models[1].model == {"name": "din"}
    message = "comparison.yaml:7: model `DIN`: `train.epochs` must be at least 1"
    with pytest.raises(UserError, match=message):
        spec.run_pipeline("DIN", configuration={"train.epochs": 0})
    message = "`grid: train.epochs.a`: `train.epochs` must be a mapping"
    with pytest.raises(UserError, match=message):
        spec.run_pipeline("DIN", configuration={"train.epochs.a": 0})


def test_bad_training_values_are_told_with_their_line(tmp_path):
    edited = tmp_path / "pipelines" / "comparison.yaml"
    edited.parent.mkdir()
    for name in ("comparison.yaml", "movielens_1m_lmn.yaml"):
        text = COMPARISON.with_name(name).read_text(encoding="utf-8")
        (edited.parent / name).write_text(text.replace("{epochs: 2,", "{epoch: 2,"))
    spec = ComparisonSpec.load(edited)
    message = "comparison.yaml:7: model `DIN`: unknown key `epoch` in `train`. Did you mean"
    with pytest.raises(UserError, match=message):
        spec.run_pipeline("DIN")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("label: DIN", "label: DNN", "labels of models must differ. Received: 'DNN' twice"),
        ("[1, 2, 3]", "[1, 2, 1]", "`seeds` must not repeat. Received: 1 twice"),
        ("[1, 2, 3]", "[]", "`seeds` must be a list of 1 or more."),
        ("[1, 2, 3]", "[-1]", "`seeds[0]` must be at least 0. Received: seeds=-1"),
        ("base: DIN", "base: DINN", "`base` must be a model's label. Received: base='DINN'. Did"),
        ("train: {epochs: 2,", "data: {valid: x}, train: {epochs: 2,", "unknown key `valid`"),
        (
            "train: {epochs: 2,",
            "data: {batch_size: 0}, train: {epochs: 2,",
            "`models[1].data.batch_size` must be at least 1",
        ),
        ("search:", "serch:", "unknown key `serch`. Did you mean `search`?"),
        ("{name: lmn, num", "{num", "`name` must be given in `model`. Received: nothing"),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(COMPARISON, old, new, message, tmp_path)


def test_a_grid_needs_a_search(tmp_path):
    text = COMPARISON.read_text(encoding="utf-8")
    (tmp_path / "c.yaml").write_text(text[: text.index("search:")])
    message = "c.yaml:8: `search` must be given for the `grid` of a model. Received: nothing"
    with pytest.raises(UserError, match=message):
        ComparisonSpec.load(tmp_path / "c.yaml")
