import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_run import market, write_pipeline

from lmn_tf.specs import strict_yaml
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.training import comparison as module
from lmn_tf.training.comparison import Comparison

ROOT = Path(__file__).resolve().parents[2]


def make_spec(folder, models=None, seeds=(1, 2)):
    write_pipeline(folder / "base.yaml", folder / "unused")
    small = {"hidden_units": [8]}
    data = {
        "comparison_version": 1,
        "name": "tiny",
        "pipeline": "base.yaml",
        "models": models
        or [
            {"label": "dnn", "model": {"name": "dnn", **small}, "train": {"epochs": 1}},
            {"label": "a pool!", "model": {"name": "pooling", **small}},
        ],
        "seeds": list(seeds),
        "output": str(folder / "out"),
    }
    (folder / "comparison.yaml").write_text(strict_yaml.dump(data))
    return ComparisonSpec.load(folder / "comparison.yaml")


class FakeTraining:
    """Stands in for the processes: writes the metrics that a run would."""

    def __init__(self, monkeypatch, returncode=0):
        self.ran = []
        self.returncode = returncode
        monkeypatch.setattr(module.subprocess, "run", self.run)

    def run(self, command, **kwargs):
        assert command[:4] == [sys.executable, "-m", "lmn_tf.cli.main", "train"]
        assert command[5] == "--resume"
        document = yaml.safe_load(Path(command[4]).read_text())
        self.ran.append(Path(document["run_dir"]).name)
        if self.returncode == 0:
            from lmn_tf.specs.pipeline_spec import PipelineSpec
            from lmn_tf.training.run_directory import RunDirectory

            pipeline = PipelineSpec.load(command[4])
            directory = RunDirectory(pipeline.run_dir)
            directory.write_opening(pipeline, pipeline.load_feature_spec())
            figures = {"auc": 0.6 + document["train"]["seed"] / 100, "logloss": 0.5}
            metrics = {"train": {"examples_per_second": 1.0}, "parameters": 5, "test": figures}
            directory.metrics_file.write_text(json.dumps(metrics))
        return subprocess.CompletedProcess(command, self.returncode)


def test_runs_each_model_and_seed_once(tmp_path, monkeypatch):
    training = FakeTraining(monkeypatch)
    said = []
    result = Comparison(make_spec(tmp_path), say=said.append).run()
    assert training.ran == ["dnn-seed1", "dnn-seed2", "a_pool_-seed1", "a_pool_-seed2"]
    assert said[0] == "[1/4] dnn, seed 1: training"
    document = yaml.safe_load((tmp_path / "out/pipelines/dnn-seed2.yaml").read_text())
    assert document["train"]["epochs"] == 1 and document["train"]["seed"] == 2
    assert document["model"] == {"name": "dnn", "hidden_units": [8]}
    assert os.path.isabs(document["feature_spec"])
    assert result["models"]["dnn"]["auc"]["values"] == [0.61, 0.62]
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert names == {"comparison.json", "comparison.md", "comparison.png"}
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == result


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    spec = make_spec(tmp_path)
    FakeTraining(monkeypatch)
    Comparison(spec, seeds=[1], say=lambda text: None).run()
    training, said = FakeTraining(monkeypatch), []
    Comparison(spec, seeds=[1, 2], say=said.append).run()
    assert training.ran == ["dnn-seed2", "a_pool_-seed2"]
    assert said[0] == "[1/4] dnn, seed 1: finished before"


def test_a_finished_run_of_another_model_does_not_enter_the_table(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    Comparison(make_spec(tmp_path), say=lambda text: None).run()
    changed = [{"label": "dnn", "model": {"name": "dnn", "hidden_units": [9]}}]
    with pytest.raises(UserError, match="`model.hidden_units` must stay"):
        Comparison(make_spec(tmp_path, changed), say=lambda text: None).run()


def test_the_ceiling_of_generated_data_is_told(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    result = Comparison(make_spec(tmp_path), say=lambda text: None).run()
    want = json.loads((market() / "oracle.json").read_text())["test"]
    assert result["oracle"] == want and 0.5 < want["auc"] < 1
    assert f"{want['auc']:.4f}" in (tmp_path / "out" / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [(2, UserError, "was refused"), (1, RuntimeError, "must end well. Received: exit status 1")],
)
def test_a_failed_run_ends_the_comparison(tmp_path, monkeypatch, status, error, message):
    FakeTraining(monkeypatch, status)
    with pytest.raises(error, match=f"run of `dnn` with seed 1 {message}"):
        Comparison(make_spec(tmp_path), say=lambda text: None).run()


def test_all_runs_are_checked_before_the_first(tmp_path):
    wrong = [
        {"label": "dnn", "model": {"name": "dnn"}},
        {"label": "b", "model": {"name": "dnn", "hidden_unit": [8]}},
    ]
    with pytest.raises(UserError, match="hidden_unit.*Did you mean `hidden_units`"):
        Comparison(make_spec(tmp_path, wrong))


def test_labels_that_give_one_folder_are_refused(tmp_path):
    twins = [{"label": label, "model": {"name": "dnn"}} for label in ("a b", "a/b")]
    with pytest.raises(UserError, match="labels of models must differ in their letters"):
        Comparison(make_spec(tmp_path, twins))


def test_runs_in_this_process_start_none(tmp_path, monkeypatch):
    from lmn_tf.training import trainer

    training = FakeTraining(monkeypatch)

    class Trainer:
        def __init__(self, pipeline, resume):
            self.folder = Path(pipeline.run_dir)
            assert resume

        def train(self):
            training.run(
                [sys.executable, "-m", "lmn_tf.cli.main", "train", self._file(), "--resume"]
            )

        def _file(self):
            return str(self.folder.parent / "pipelines" / f"{self.folder.name}.yaml")

    monkeypatch.setattr(trainer, "Trainer", Trainer)
    monkeypatch.setattr(module.subprocess, "run", None)
    Comparison(make_spec(tmp_path), say=lambda text: None, in_process=True).run()
    assert training.ran == ["dnn-seed1", "dnn-seed2", "a_pool_-seed1", "a_pool_-seed2"]


@pytest.mark.slow
def test_one_process_gives_the_results_of_many(tmp_path):
    models = [
        {"label": "dnn", "model": {"name": "dnn", "hidden_units": [8]}},
        {
            "label": "lmn",
            "model": {
                "name": "lmn",
                "num_keys": 6,
                "top_k": 4,
                "hidden_units": [8],
                "dropout": 0.2,
            },
        },
    ]
    make_spec(tmp_path, models, seeds=[1])
    base = yaml.safe_load((tmp_path / "base.yaml").read_text())
    base["train"]["deterministic"] = True
    (tmp_path / "base.yaml").write_text(strict_yaml.dump(base))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = []
    for options in ([], ["--in-process"]):
        output = tmp_path / f"out{len(found)}"
        command = [sys.executable, "-m", "lmn_tf.cli.main", "compare"]
        command += [str(tmp_path / "comparison.yaml"), "--output", str(output), *options]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
        found.append({label: _figures(output / f"{label}-seed1") for label in ("dnn", "lmn")})
    assert found[0] == found[1]


def _figures(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    for part in ("valid", "test"):
        metrics[part].pop("examples_per_second")
    history = [
        {key: epoch[key] for key in ("step", "loss")} for epoch in metrics["train"]["history"]
    ]
    return metrics["valid"], metrics["test"], metrics["train"]["loss"], history


@pytest.mark.slow
def test_real_processes(tmp_path):
    """Two real runs; a second comparison finds them finished."""
    models = [{"label": "dnn", "model": {"name": "dnn", "hidden_units": [8]}}]
    spec = make_spec(tmp_path, models)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", "lmn_tf.cli.main", "compare"]
    command += [str(tmp_path / "comparison.yaml"), "--json"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    result = json.loads(done.stdout)
    assert len(result["models"]["dnn"]["auc"]["values"]) == 2
    assert result["models"]["dnn"]["auc"]["sd"] > 0
    said = []
    assert Comparison(spec, say=said.append).run()["models"] == result["models"]
    assert said == [f"[{n}/2] dnn, seed {n}: finished before" for n in (1, 2)]
