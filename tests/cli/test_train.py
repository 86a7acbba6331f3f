import json
from pathlib import Path

import pytest
from tiny_run import trained_run, with_outlying_price, with_unknown_items, write_pipeline

from lmn_tf.cli.main import main


@pytest.fixture
def pipeline(tmp_path):
    return str(write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run"))


def test_trains_and_prints_the_metrics(pipeline, tmp_path, capsys):
    settings = ["--set", "model={name: dnn, hidden_units: [8]}", "--set", "train.epochs=1"]
    status = main(["train", pipeline, *settings, "--run-dir", str(tmp_path / "other")])
    out, err = capsys.readouterr()
    assert status == 0
    assert out.startswith("model dnn, seed 1, ") and "\ntest " in out
    assert out.endswith(f"Run directory: {tmp_path}/other\n")
    assert "train: step 1/" in err and "epoch 1/1 | loss" in err
    assert (tmp_path / "other" / "model.keras").exists() and not (tmp_path / "run").exists()


def test_the_test_set_can_be_left_unread(pipeline, tmp_path, capsys):
    absent = ["--set", f"data.test={tmp_path}/absent-*", "--set", "train.epochs=1"]
    small = ["--set", "model={name: dnn, hidden_units: [8]}"]
    valid = ["--set", f"data.valid={with_unknown_items(tmp_path / 'valid.parquet')}"]
    assert main(["train", pipeline, *absent, *small, *valid, "--no-test"]) == 0
    out, err = capsys.readouterr()
    told = "valid data: `item_id`: 3 of 200 values (1.5 %) are unknown or missing"
    assert err.splitlines().count(told) == 1 and "train data" not in err
    assert "\nvalid " in out and "\ntest " not in out


def test_unknown_values_of_the_test_set_are_told_once(pipeline, tmp_path, capsys):
    small = ["--set", "model={name: dnn, hidden_units: [8]}", "--set", "train.epochs=2"]
    test = ["--set", f"data.test={with_unknown_items(tmp_path / 'test.parquet')}"]
    assert main(["train", pipeline, *small, *test, "--diagnostics"]) == 0
    told = "test data: `item_id`: 3 of 200 values (1.5 %) are unknown or missing"
    assert capsys.readouterr().err.splitlines().count(told) == 1


def test_outlying_numbers_of_the_test_set_are_told(pipeline, tmp_path, capsys):
    small = ["--set", "model={name: dnn, hidden_units: [8]}", "--set", "train.epochs=1"]
    test = ["--set", f"data.test={with_outlying_price(tmp_path / 'test.parquet')}"]
    assert main(["train", pipeline, *small, *test]) == 0
    err = capsys.readouterr().err
    (told,) = [line for line in err.splitlines() if line.startswith("test data: `price`")]
    assert told.startswith(
        "test data: `price`: 1 of 200 numbers lies far outside the learned range "
    )
    assert told.endswith("; the farthest is 1e+09")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("data.test=null", "`data.test` names no test set"),
        ("distribute.strategy=parameter_server", "the run is on parameter servers"),
    ],
)
def test_diagnostics_that_a_pipeline_cannot_have_are_told(setting, reason, pipeline, capsys):
    absent = ["--set", "data.train=absent/*.parquet"]  # the run itself need not begin
    assert main(["train", pipeline, *absent, "--set", setting, "--diagnostics"]) == 2
    assert f"No diagnostics are measured, since {reason}." in capsys.readouterr().err


def test_resuming_a_finished_run_prints_its_metrics(tmp_path, capsys):
    pipeline = str(write_pipeline(tmp_path / "pipeline.yaml", trained_run()))
    assert main(["train", pipeline, "--resume", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics == json.loads((trained_run() / "metrics.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "train.epoch=2"], "Did you mean `epochs`"),
        (["--set", "model.topk=2"], "Did you mean `top_k`"),
        (["--set", "data.train=absent/*.parquet"], "no file matches absent/*.parquet"),
        (["--run-dir", "RUN"], "holds a run. Continue it with --resume"),
        (["--run-dir", "RUN", "--resume", "--set", "train.seed=9"], "`train.seed` must stay"),
        (["--warm-start", "absent"], "`warm_start.run` must be the folder of a run"),
        (["--sett", "a=1"], "--set"),
        (["--no-test", "--diagnostics"], "`--diagnostics` must not come with `--no-test`"),
    ],
)
def test_mistakes_are_told_in_one_line(pipeline, arguments, message, capsys):
    arguments = [str(trained_run()) if a == "RUN" else a for a in arguments]
    assert main(["train", pipeline, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_a_mistake_in_the_model_is_told_with_its_line(pipeline, capsys):
    text = Path(pipeline).read_text()
    line = text[: text.index("top_k")].count("\n") + 1
    Path(pipeline).write_text(text.replace("top_k", "topk"))
    assert main(["train", pipeline, "--set", "train.epochs=1"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"lmn-tf: {pipeline}:{line}: `topk` must be an option of model `lmn`.")


def test_a_missing_pipeline_is_told(tmp_path, capsys):
    assert main(["train", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml" in capsys.readouterr().err


def test_generated_data_are_made(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = str(write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run"))
    settings = {
        "data.directory": "market",
        "data.synthetic": "{users: 40, items: 20, rows: 400, history_length: 3}",
        "data.train": "market/train-*.parquet",
        "data.valid": "market/valid-*.parquet",
        "data.test": "market/test-*.parquet",
        "model": "{name: dnn, hidden_units: [4]}",
    }
    arguments = [part for pair in settings.items() for part in ("--set", "=".join(pair))]
    assert main(["train", path, *arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["train"]["examples"] > 500
    assert "Generating the synthetic market in market." in err


@pytest.mark.slow
def test_the_pipeline_over_days_runs(root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = [
        "data.days.last=2023-12-16",
        "data.synthetic.rows=6000",
        "model={name: dnn, hidden_units: [8]}",
        "train.deterministic=false",
    ]
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert main(["train", str(root / "pipelines" / "synthetic_daily.yaml"), *arguments]) == 0
    out, err = capsys.readouterr()
    assert "\n2023-12-15 " in out and "\nprogressive " in out
    assert "day 2023-12-16 (2/2) | before auc" in err
