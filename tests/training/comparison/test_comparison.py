import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_run import market, write_pipeline

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison import comparison as module
from lmn_tf.training.comparison.comparison import Comparison
from lmn_tf.training.comparison.comparison_picture import picture

ROOT = Path(__file__).resolve().parents[3]


def make_spec(folder, models=None, seeds=(1, 2), **more):
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
        **more,
    }
    (folder / "comparison.yaml").write_text(strict_yaml.dump(data))
    return ComparisonSpec.load(folder / "comparison.yaml")


SEARCH = {"trials": 3, "seed": 1, "grid": {"model.dropout": [0.1, 0.2, 0.3, 0.4]}}


@pytest.fixture(autouse=True)
def plain_picture(monkeypatch):
    """Draws nothing: it takes longer than the rest, and other tests do so."""
    monkeypatch.setattr(module, "picture", lambda result, path: Path(path).touch())


class FakeTraining:
    """Stands in for the processes: writes the metrics that a run would.

    The validation set likes much dropout, the test set little.
    """

    def __init__(self, monkeypatch, **statuses):
        self.ran, self.tested, self.unknown = [], [], ()
        self.statuses = statuses
        monkeypatch.setattr(module.subprocess, "run", self.run)
        monkeypatch.setattr(module, "picture", lambda result, path: Path(path).touch())

    def run(self, command, **kwargs):
        assert command[:4] == [sys.executable, "-m", "lmn_tf.cli.main", "train"]
        assert command[5] == "--resume" and command[6:] in (["--diagnostics"], ["--no-test"])
        document = yaml.safe_load(Path(command[4]).read_text())
        name = Path(document["run_dir"]).name
        self.ran.append(name)
        status = self.statuses.get(name.replace("-", "_"), 0)
        if status == 0:
            self.finish(command[4], document, name, test=command[6] != "--no-test")
        return subprocess.CompletedProcess(command, status)

    def finish(self, file, document, name, test):
        from lmn_tf.specs.pipeline_spec import PipelineSpec
        from lmn_tf.training.saving.run_directory import RunDirectory

        pipeline = PipelineSpec.load(file)
        directory = RunDirectory(pipeline.run_dir)
        if not directory.is_started:
            directory.write_opening(pipeline, pipeline.load_feature_spec())
        seed, dropout = document["train"]["seed"], document["model"].get("dropout", 0)
        valid = {"auc": 0.6 + seed / 100 + dropout, "logloss": 0.5}
        if name.startswith(self.unknown):
            valid["auc"] = None
        metrics = {"train": {"examples_per_second": 1.0}, "parameters": 5, "valid": valid}
        if test and pipeline.data.test is not None:
            self.tested.append(name)
            metrics["test"] = {"auc": 0.6 + seed / 100 - dropout / 10, "logloss": 0.5}
            metrics["diagnostics"] = {}
        directory.metrics_file.write_text(json.dumps(metrics))


def compare(spec, **options):
    """The result of a comparison, and what it said."""
    said = []
    return Comparison(spec, say=said.append, **options).run(), said


def test_runs_each_model_and_seed_once(tmp_path, monkeypatch):
    training = FakeTraining(monkeypatch)
    monkeypatch.setattr(module, "picture", picture)
    result, said = compare(make_spec(tmp_path))
    assert training.ran == training.tested
    assert training.ran == ["dnn-seed1", "a_pool_-seed1", "dnn-seed2", "a_pool_-seed2"]
    assert said[0] == "[1/4] dnn, seed 1: training"
    document = yaml.safe_load((tmp_path / "out/pipelines/dnn-seed2.yaml").read_text())
    assert document["train"]["epochs"] == 1 and document["train"]["seed"] == 2
    assert document["model"] == {"name": "dnn", "hidden_units": [8]}
    assert os.path.isabs(document["feature_spec"])
    assert result["models"]["dnn"]["auc"]["values"] == [0.61, 0.62]
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert names == {"comparison.json", "comparison.md", "comparison.png"}
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == result
    for name in training.ran:
        assert list((tmp_path / "out" / name / "tensorboard" / "hparams").iterdir())


def test_goes_on_where_it_stopped(tmp_path, monkeypatch):
    spec = make_spec(tmp_path)
    FakeTraining(monkeypatch)
    compare(spec, seeds=[1])
    training = FakeTraining(monkeypatch)
    _, said = compare(spec, seeds=[1, 2])
    assert training.ran == ["dnn-seed2", "a_pool_-seed2"]
    assert said[0] == "[1/4] dnn, seed 1: finished before"


def folders(output):
    return sorted(path.name for path in output.glob("*-seed*"))


def test_runs_that_are_not_kept_leave_their_figures(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, keep_runs=False)
    FakeTraining(monkeypatch, dnn_seed2=1)
    result, _ = compare(spec)
    out = tmp_path / "out"
    assert not list(out.glob(".*"))
    assert [one["folder"] for one in result["failed"]] == ["dnn-seed2"]
    assert folders(out) == []
    files = ["a_pool_-seed1.json", "a_pool_-seed2.json", "dnn-seed1.json"]
    assert sorted(path.name for path in (out / "finished").iterdir()) == files
    training = FakeTraining(monkeypatch)
    again, said = compare(spec)
    assert training.ran == ["dnn-seed2"] and again["failed"] == []
    assert all(one["auc"]["values"] == [0.61, 0.62] for one in again["models"].values())


def test_a_search_keeps_a_run_until_it_is_tested(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH, keep_runs=False)
    training = FakeTraining(monkeypatch)
    killed_after(6, training, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(spec)
    best = max(dropouts(spec), key=dropouts(spec).get)
    chosen = [f"{label}-trial{best}-seed1" for label in ("a_pool_", "dnn")]
    assert folders(tmp_path / "out") == chosen
    monkeypatch.setattr(module.subprocess, "run", training.run)
    result, said = compare(spec)
    assert f"[7/10] dnn, trial {best}, seed 1: testing" in said
    assert folders(tmp_path / "out") == [] and result["models"]["dnn"]["seeds"] == [1, 2]


def killed_after(count, training, monkeypatch):
    """Lets the comparison be killed when it would begin another run."""

    def run(command, **kwargs):
        if len(training.ran) == count:
            raise KeyboardInterrupt
        return training.run(command, **kwargs)

    monkeypatch.setattr(module.subprocess, "run", run)


def test_a_killed_comparison_leaves_a_table_of_its_runs(tmp_path, monkeypatch):
    killed_after(3, FakeTraining(monkeypatch), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(make_spec(tmp_path))
    result = json.loads((tmp_path / "out/comparison.json").read_text())
    assert {label: model["seeds"] for label, model in result["models"].items()} == {
        "dnn": [1, 2],
        "a pool!": [1],
    }
    assert result["pending"] == ["a_pool_-seed2"]
    assert result["models"]["a pool!"]["test"]["verdict"] == "inconclusive"
    text = (tmp_path / "out/comparison.md").read_text()
    assert "**Unfinished**: 1 run is still to come, beginning with a_pool_-seed2." in text
    FakeTraining(monkeypatch)
    assert compare(make_spec(tmp_path))[0]["pending"] == []


def test_goes_on_elsewhere_from_the_files_of_finished_runs(tmp_path, monkeypatch):
    results = tmp_path / "committed"
    spec = make_spec(tmp_path, results=str(results))
    FakeTraining(monkeypatch)
    first, _ = compare(spec)
    files = {path.name for path in (results / "finished").iterdir()}
    assert files == {f"{name}-seed{seed}.json" for name in ("dnn", "a_pool_") for seed in (1, 2)}
    assert not (tmp_path / "out/comparison.json").exists()
    shutil.rmtree(tmp_path / "out")
    (results / "finished" / "dnn-seed2.json").unlink()
    training = FakeTraining(monkeypatch)
    again, said = compare(spec)
    assert training.ran == ["dnn-seed2"] and again == first
    assert said[0] == "[1/4] dnn, seed 1: finished before"


def test_a_file_of_another_run_is_refused_before_any_training(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    compare(make_spec(tmp_path, seeds=[1]))
    for name in ("dnn", "a_pool_"):
        shutil.rmtree(tmp_path / "out" / f"{name}-seed1")
    changed = [{"label": "dnn", "model": {"name": "dnn", "hidden_units": [9]}}]
    training = FakeTraining(monkeypatch)
    message = r"finished/dnn-seed1.json: `model.hidden_units` must stay.*Received: .*remove the"
    with pytest.raises(UserError, match=message):
        compare(make_spec(tmp_path, changed, seeds=[2, 1]))
    assert training.ran == []
    (tmp_path / "out/finished/dnn-seed1.json").unlink()
    compare(make_spec(tmp_path, changed, seeds=[2, 1]))
    assert training.ran == ["dnn-seed2", "dnn-seed1"]


def test_a_chosen_trial_whose_run_is_elsewhere_is_trained_again(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH, seeds=[1])
    killed_after(6, FakeTraining(monkeypatch), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(spec)
    for folder in (tmp_path / "out").glob("*-seed1"):
        shutil.rmtree(folder)
    training = FakeTraining(monkeypatch)
    result, said = compare(spec)
    assert training.ran == training.tested and len(training.ran) == 2
    assert said[0] == "[1/8] dnn, trial 1, seed 1: finished before"
    assert result["models"]["dnn"]["seeds"] == [1]


def without_diagnostics(file):
    metrics = json.loads(file.read_text())
    (metrics["metrics"] if "metrics" in metrics else metrics).pop("diagnostics")
    file.write_text(json.dumps(metrics))


def test_runs_are_diagnosed_later_only_where_they_are(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    compare(make_spec(tmp_path, seeds=[1]))
    for name in ("dnn", "a_pool_"):
        without_diagnostics(tmp_path / "out" / f"{name}-seed1" / "metrics.json")
        without_diagnostics(tmp_path / "out" / "finished" / f"{name}-seed1.json")
    shutil.rmtree(tmp_path / "out" / "dnn-seed1")
    training = FakeTraining(monkeypatch)
    _, said = compare(make_spec(tmp_path, seeds=[1]))
    assert training.ran == ["a_pool_-seed1"] and said[1] == "[2/2] a pool!, seed 1: testing"
    assert compare(make_spec(tmp_path, seeds=[1], diagnostics=False))[1][1].endswith("before")


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_of_another_configuration_is_refused_before_any_training(
    finished, tmp_path, monkeypatch
):
    FakeTraining(monkeypatch)
    compare(make_spec(tmp_path))
    if not finished:
        (tmp_path / "out" / "dnn-seed2" / "metrics.json").unlink()
    changed = [
        {"label": "new", "model": {"name": "dnn"}},
        {"label": "dnn", "model": {"name": "dnn", "hidden_units": [9]}},
    ]
    training = FakeTraining(monkeypatch)
    message = (
        "out/dnn-seed1 holds another run: `model.hidden_units` must stay.*remove the folder and "
        ".*finished/dnn-seed1.json, or name another one with --output"
    )
    with pytest.raises(UserError, match=message):
        compare(make_spec(tmp_path, changed))
    assert training.ran == []


def edit(path, **sections):
    """Changes sections of a YAML file, and takes away those of `None`."""
    data = yaml.safe_load(path.read_text()) | sections
    kept = {key: value for key, value in data.items() if value is not None}
    path.write_text(strict_yaml.dump(kept))


def test_a_memory_that_grows_from_a_warm_start_goes_on(tmp_path, monkeypatch):
    lmn = {"name": "lmn", "num_keys": 8, "top_k": 4}
    models = [{"label": "lmn", "model": lmn}]
    spec = make_spec(tmp_path, models)
    edit(tmp_path / "base.yaml", warm_start={"run": str(tmp_path / "first")})
    FakeTraining(monkeypatch)
    compare(spec, seeds=[1])
    # What a real run adds: the keys that are open at first.
    edit(tmp_path / "out" / "lmn-seed1" / "pipeline.yaml", model=lmn | {"open_keys": 6})
    training = FakeTraining(monkeypatch)
    _, said = compare(spec)
    assert said[0] == "[1/2] lmn, seed 1: finished before" and training.ran == ["lmn-seed2"]
    edit(tmp_path / "base.yaml", warm_start=None)
    with pytest.raises(UserError, match="lmn-seed1 holds another run: `model.open_keys` must"):
        compare(spec)


def test_the_ceiling_of_generated_data_is_told(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    result, _ = compare(make_spec(tmp_path))
    want = json.loads((market() / "oracle.json").read_text())["test"]
    assert result["oracle"] == want and 0.5 < want["auc"] < 1
    assert f"{want['auc']:.4f}" in (tmp_path / "out" / "comparison.md").read_text()


def test_the_ceiling_is_kept_where_the_data_are_not(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    first, _ = compare(make_spec(tmp_path, results=str(tmp_path / "committed")))
    spec = make_spec(tmp_path, results=str(tmp_path / "committed"))
    base = yaml.safe_load((tmp_path / "base.yaml").read_text())
    for part in ("train", "valid", "test"):
        base["data"][part] = str(tmp_path / "gone" / f"{part}-*.parquet")
    (tmp_path / "base.yaml").write_text(strict_yaml.dump(base))
    shutil.rmtree(tmp_path / "out")
    again, _ = compare(spec)
    assert again == first and again["oracle"]["auc"] > 0.5


@pytest.mark.parametrize(
    ("status", "reason"),
    [(2, "exit status 2, see its message above"), (-9, "ended by signal 9")],
)
def test_a_failed_run_stops_no_other(tmp_path, monkeypatch, status, reason):
    training = FakeTraining(monkeypatch, dnn_seed1=status)
    result, said = compare(make_spec(tmp_path))
    assert training.ran == ["dnn-seed1", "a_pool_-seed1", "dnn-seed2", "a_pool_-seed2"]
    assert said[1] == f"[1/4] dnn, seed 1: failed: {reason}"
    assert result["failed"] == [
        {
            "label": "dnn",
            "trial": None,
            "seed": 1,
            "value": None,
            "folder": "dnn-seed1",
            "reason": reason,
        }
    ]
    assert result["models"]["dnn"]["seeds"] == [2]
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == result
    training = FakeTraining(monkeypatch)
    assert compare(make_spec(tmp_path))[0]["failed"] == []
    assert training.ran == ["dnn-seed1"]


def test_where_all_runs_fail_there_is_no_table(tmp_path, monkeypatch):
    models = [{"label": "dnn", "model": {"name": "dnn"}}]
    FakeTraining(monkeypatch, dnn_seed1=1)
    result, _ = compare(make_spec(tmp_path, models, seeds=[1]))
    assert result["models"] == {} and len(result["failed"]) == 1
    assert not (tmp_path / "out" / "comparison.md").exists()


def test_a_run_that_leaves_nothing_has_failed(tmp_path, monkeypatch):
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: done)
    result, _ = compare(make_spec(tmp_path, seeds=[1]))
    assert [run["reason"] for run in result["failed"]] == ["it left no metrics"] * 2


def dropouts(spec):
    """The dropout of each trial."""
    plan = Comparison(spec).plan
    return {run.trial: plan.configuration(run)["model.dropout"] for run in plan.trials("dnn")}


def test_a_search_tests_the_best_of_the_validation_set_alone(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH, seeds=[2, 1])
    training = FakeTraining(monkeypatch)
    result, said = compare(spec)
    dropout = dropouts(spec)
    best = max(dropout, key=dropout.get)
    folders = {label: f"{label}-trial{best}" for label in ("dnn", "a_pool_")}
    trials = [f"{label}-trial{n}-seed1" for label in folders for n in (1, 2, 3)]
    final = [f"{folder}-seed{seed}" for seed in (2, 1) for folder in folders.values()]
    assert training.ran == trials + final
    assert training.tested == final
    assert f"dnn, trial {best}, seed 1: chosen" in said
    assert said[0] == "[1/10] dnn, trial 1, seed 1: training"
    assert said[10] == f"[9/10] dnn, trial {best}, seed 1: testing"
    model = result["search"]["models"]["a pool!"]
    assert model["chosen"] == best and model["configuration"] == {"model.dropout": dropout[best]}
    assert [one["auc"] for one in model["trials"]] == [0.61 + dropout[n] for n in (1, 2, 3)]
    auc = [0.62 - dropout[best] / 10, 0.61 - dropout[best] / 10]
    assert result["models"]["dnn"]["auc"]["values"] == pytest.approx(auc)
    assert "## Search" in (tmp_path / "out" / "comparison.md").read_text()
    document = yaml.safe_load((tmp_path / f"out/pipelines/{folders['dnn']}-seed2.yaml").read_text())
    assert document["model"]["dropout"] == dropout[best] and document["train"]["seed"] == 2


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize("count", range(10))
def test_a_search_goes_on_where_it_was_killed(count, tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH)
    training = FakeTraining(monkeypatch)
    killed_after(count, training, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        compare(spec)
    before = list(training.ran)
    again = FakeTraining(monkeypatch)
    result, _ = compare(spec)
    assert len(before) + len(again.ran) == 10
    assert len(training.tested) + len(again.tested) == 4
    assert result["models"]["dnn"]["seeds"] == [1, 2] and result["failed"] == []


def test_more_trials_keep_the_earlier_ones(tmp_path, monkeypatch):
    FakeTraining(monkeypatch)
    compare(make_spec(tmp_path, search={**SEARCH, "trials": 2}))
    training = FakeTraining(monkeypatch)
    compare(make_spec(tmp_path, search={**SEARCH, "trials": 4}))
    trials = [name for name in training.ran if name.startswith("dnn-") and name.endswith("seed1")]
    assert trials[:2] == ["dnn-trial3-seed1", "dnn-trial4-seed1"]


def test_an_option_is_varied(tmp_path, monkeypatch):
    lmn = {"label": "lmn", "model": {"name": "lmn", "num_keys": 6, "top_k": 4}}
    training = FakeTraining(monkeypatch)
    monkeypatch.setattr(module, "curve_picture", lambda result, path: Path(path).touch())
    vary = {"model.num_keys": [4, 8]}
    result, _ = compare(make_spec(tmp_path, [DNN, lmn], vary=vary))
    runs = ["dnn-seed", "lmn-num_keys_8-seed", "lmn-num_keys_4-seed"]
    assert training.ran == [f"{name}{seed}" for seed in (1, 2) for name in runs]
    assert list(result["models"]) == ["dnn", "lmn"]
    assert [point["value"] for point in result["curve"]["points"]] == [4, 8]
    for point in result["curve"]["points"]:
        assert point["models"]["dnn"]["auc"]["values"] == [0.61, 0.62]
        assert point["models"]["lmn"]["test"]["seeds"] == 2
    assert "## AUC by `model.num_keys`" in (tmp_path / "out/comparison.md").read_text()
    assert (tmp_path / "out/curve.png").exists()


def test_runs_of_another_value_than_the_last_are_written(tmp_path, monkeypatch):
    lmn = {"label": "lmn", "model": {"name": "lmn", "num_keys": 6, "top_k": 4}}
    FakeTraining(monkeypatch, **{f"lmn_num_keys_8_seed{seed}": 1 for seed in (1, 2)})
    monkeypatch.setattr(module, "picture", picture)
    spec = make_spec(tmp_path, [lmn], vary={"model.num_keys": [4, 8]})
    base = yaml.safe_load((tmp_path / "base.yaml").read_text())
    del base["data"]["test"]
    (tmp_path / "base.yaml").write_text(strict_yaml.dump(base))
    result, _ = compare(spec)
    assert result["models"] == {} and result["set"] == "valid"
    assert len(result["failed"]) == 2
    names = {path.name for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert names == {"comparison.json", "comparison.md", "comparison.png", "curve.png"}
    text = (tmp_path / "out/comparison.md").read_text()
    assert text.startswith("# tiny\n\nNo run is finished with num_keys=8.\n")
    assert "- lmn-num_keys_8-seed1: exit status 1" in text and "## AUC by `model.num_keys`" in text


@pytest.mark.slow
def test_a_learning_curve_of_real_runs(tmp_path):
    vary = {"data.train_rows": ["10%", "100%"]}
    result = Comparison(make_spec(tmp_path, [DNN, RATES], vary=vary), in_process=True).run()
    few, many = result["curve"]["points"]
    assert few["rows"] * 10 == pytest.approx(many["rows"], rel=0.01)
    assert many["models"]["rates"]["auc"]["sd"] == 0 < few["models"]["rates"]["auc"]["sd"]
    assert result["failed"] == [] and (tmp_path / "out/curve.png").exists()


RATES = {"label": "rates", "model": {"name": "rates"}}
DNN = {"label": "dnn", "model": {"name": "dnn", "hidden_units": [8]}}


def test_a_row_without_a_network_is_fitted_once_for_all_seeds(tmp_path, monkeypatch):
    training = FakeTraining(monkeypatch)
    result, said = compare(make_spec(tmp_path, [DNN, RATES], seeds=(3, 4)))
    assert training.ran == ["dnn-seed3", "rates-seed3", "dnn-seed4"]
    assert said[1] == "[2/3] rates, seed 3: training"
    rates = result["models"]["rates"]
    assert rates["seeds"] == [3, 4] and rates["auc"]["values"] == [0.63, 0.63]
    assert rates["auc"]["sd"] == 0 and rates["test"]["seeds"] == 2
    training = FakeTraining(monkeypatch)
    compare(make_spec(tmp_path, [DNN, RATES], seeds=(3, 4, 5)))
    assert training.ran == ["dnn-seed5"]


def test_rows_that_have_seen_the_labels_of_the_table_are_told(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, [DNN, RATES])
    base = yaml.safe_load((tmp_path / "base.yaml").read_text())
    del base["data"]["test"]
    edit(tmp_path / "base.yaml", data=base["data"])
    FakeTraining(monkeypatch)
    result, _ = compare(spec)
    assert result["set"] == "valid" and result["fitted"] == ["rates"]
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "Without a test set, weights of rates are fitted to the labels" in text


def test_a_search_tries_the_grid_of_a_row_without_a_network(tmp_path, monkeypatch):
    training = FakeTraining(monkeypatch)
    rates = {**RATES, "grid": {"model.shrinkage": [5.0, 20.0]}}
    result, said = compare(make_spec(tmp_path, [DNN, rates], search=SEARCH))
    own = [name for name in training.ran if name.startswith("rates")]
    assert own[:2] == ["rates-trial1-seed1", "rates-trial2-seed1"]
    assert [name for name in training.tested if name.startswith("rates")] == own[2:]
    assert len(own) == 3 and said[-2].startswith("[7/8] rates, trial ")
    assert result["models"]["rates"]["seeds"] == [1, 2]


def test_a_failed_row_without_a_network_is_told_once(tmp_path, monkeypatch):
    FakeTraining(monkeypatch, rates_seed1=1)
    result, _ = compare(make_spec(tmp_path, [DNN, RATES]))
    assert [run["folder"] for run in result["failed"]] == ["rates-seed1"]
    assert list(result["models"]) == ["dnn"]


def test_a_failed_trial_is_spent(tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH)
    found = dropouts(spec)
    first, second = sorted(found, key=lambda trial: -found[trial])[:2]
    training = FakeTraining(monkeypatch, **{f"dnn_trial{first}_seed1": 1})
    result, _ = compare(spec)
    assert result["search"]["models"]["dnn"]["chosen"] == second
    assert result["search"]["models"]["a pool!"]["chosen"] == first
    assert [run["folder"] for run in result["failed"]] == [f"dnn-trial{first}-seed1"]
    training = FakeTraining(monkeypatch)
    result, _ = compare(spec)
    assert training.tested == [f"dnn-trial{first}-seed1", f"dnn-trial{first}-seed2"]
    assert result["search"]["models"]["dnn"]["chosen"] == first and result["failed"] == []


def test_a_model_without_a_trial_has_no_row(tmp_path, monkeypatch):
    FakeTraining(monkeypatch, **{f"dnn_trial{n}_seed1": 1 for n in (1, 2, 3)})
    result, _ = compare(make_spec(tmp_path, search=SEARCH))
    assert list(result["models"]) == ["a pool!"] and len(result["failed"]) == 3
    assert result["search"]["models"]["dnn"]["chosen"] is None


@pytest.mark.parametrize("labels", [("dnn",), ("dnn", "a_pool_")])
def test_a_model_whose_trials_have_no_figure_has_failed(labels, tmp_path, monkeypatch):
    spec = make_spec(tmp_path, search=SEARCH, keep_runs=False)
    training = FakeTraining(monkeypatch, dnn_trial1_seed1=1)
    training.unknown = tuple(f"{label}-trial" for label in labels)
    result, said = compare(spec)
    reason = "no trial has a finite `auc` on the validation set"
    failed = [(run["folder"], run["reason"]) for run in result["failed"]]
    numbers = {"dnn": 2, "a_pool_": 1}
    assert failed[1:] == [(f"{one}-trial{numbers[one]}-seed1", reason) for one in labels]
    assert f"dnn, trial 2, seed 1: failed: {reason}" in said
    assert list(result["models"]) == ["a pool!"] * (len(labels) == 1)
    kept = {name for name in folders(tmp_path / "out") if name.startswith(training.unknown)}
    assert len(kept) == 3 * len(labels) - 1


def test_a_configuration_that_breaks_a_rule_as_a_whole_is_refused(tmp_path):
    grid = {"train.optimizer.dense.adam": [0.1], "train.optimizer.dense.sgd": [0.1]}
    with pytest.raises(UserError, match="`dense` must name exactly one optimizer"):
        Comparison(make_spec(tmp_path, search={"trials": 1, "grid": grid}))


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


@pytest.fixture
def here(monkeypatch):
    """Runs in this process that stand in for training."""
    from lmn_tf.training import daily_trainer

    training = FakeTraining(monkeypatch)
    training.errors = {}

    class Trainer:
        def __init__(self, pipeline, resume, test, diagnostics):
            self.folder = Path(pipeline.run_dir)
            self.options = ["--resume", "--diagnostics" if diagnostics else "--no-test"]
            assert resume and diagnostics == test

        def train(self):
            if self.folder.name in training.errors:
                raise training.errors[self.folder.name]
            file = str(self.folder.parent / "pipelines" / f"{self.folder.name}.yaml")
            training.run([sys.executable, "-m", "lmn_tf.cli.main", "train", file, *self.options])

    monkeypatch.setattr(daily_trainer, "make_trainer", Trainer)
    monkeypatch.setattr(module.subprocess, "run", None)
    return training


def test_runs_in_this_process_start_none(tmp_path, here):
    compare(make_spec(tmp_path), in_process=True)
    assert here.ran == ["dnn-seed1", "a_pool_-seed1", "dnn-seed2", "a_pool_-seed2"]


def test_a_run_that_fails_in_this_process_stops_no_other(tmp_path, here):
    here.errors = {
        "dnn-trial1-seed1": ValueError("bad\nmore"),
        "dnn-trial2-seed1": UserError("`x` must be y."),
    }
    result, _ = compare(make_spec(tmp_path, search=SEARCH), in_process=True)
    assert [run["reason"] for run in result["failed"]] == ["ValueError: bad", "`x` must be y."]
    assert result["search"]["models"]["dnn"]["chosen"] == 3
    assert list(result["models"]) == ["dnn", "a pool!"]


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
    """A real search: two trials, one of them tested; a second comparison finds all finished."""
    models = [{"label": "dnn", "model": {"name": "dnn", "hidden_units": [8]}}]
    search = {"trials": 2, "grid": {"model.dropout": [0, 0.5]}}
    spec = make_spec(tmp_path, models, search=search)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", "lmn_tf.cli.main", "compare"]
    command += [str(tmp_path / "comparison.yaml"), "--json"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=True
    )
    result = json.loads(done.stdout)
    model = result["models"]["dnn"]
    assert len(model["auc"]["values"]) == 2 and model["auc"]["sd"] > 0
    assert model["peak_memory_mib"]["mean"] > 100
    found = result["search"]["models"]["dnn"]
    metrics = [
        json.loads((tmp_path / "out" / f"dnn-trial{n}-seed1" / "metrics.json").read_text())
        for n in (1, 2)
    ]
    loser, winner = sorted(metrics, key=lambda one: one["valid"]["auc"])
    assert metrics[found["chosen"] - 1] == winner and "test" in winner and "test" not in loser
    again, said = compare(spec)
    assert again == result
    assert said == [
        "[1/4] dnn, trial 1, seed 1: finished before",
        "[2/4] dnn, trial 2, seed 1: finished before",
        f"dnn, trial {found['chosen']}, seed 1: chosen",
        f"[3/4] dnn, trial {found['chosen']}, seed 1: finished before",
        f"[4/4] dnn, trial {found['chosen']}, seed 2: finished before",
    ]
