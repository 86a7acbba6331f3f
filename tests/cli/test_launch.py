import json
import signal

import pytest
from launched import Launched
from tiny_run import document, write_pipeline

from lmn_tf.cli.main import main
from lmn_tf.data.synthetic import generate
from lmn_tf.specs.yaml import strict_yaml

DNN = ["--set", "model={name: dnn, hidden_units: [8]}"]


@pytest.fixture
def pipeline(tmp_path):
    settings = {"epochs": 14, "checkpoint_steps": 40}
    return str(write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run", **settings))


def test_trains_and_leaves_nothing_behind(pipeline, tmp_path):
    few = ["--set", "train.epochs=2", "--workers", 1, "--ps", 1]
    with Launched(pipeline, *DNN, *few) as run:
        assert run.wait() == 0, run.text()
        assert len(run.pids()) == 3 and run.alive() == []
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    train = metrics["train"]
    assert train["steps"] == 20 and train["examples"] == 2 * 2389
    assert all(0 <= epoch["staleness_max"] <= 4 for epoch in train["history"])
    assert metrics["test"]["auc"] > 0.4
    assert f"Run directory: {tmp_path}/run" in run.text()


@pytest.mark.slow
def test_trains_through_the_death_of_a_worker_and_leaves_nothing_behind(pipeline, tmp_path):
    with Launched(pipeline, *DNN, "--workers", 2, "--ps", 2) as run:
        run.wait_for(r"epoch 2/14")
        run.kill("worker 1")
        run.wait_for(r"worker 1 ended \(signal 9\): started again")
        assert run.wait() == 0, run.text()
        assert run.alive() == []
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    train = metrics["train"]
    # Each batch counts once, whichever worker it was on.
    assert train["steps"] == 140 and train["examples"] == 14 * 2389
    losses = [epoch["loss"] for epoch in train["history"]]
    assert len(losses) == 14 and losses[-1] < losses[0]
    assert all(0 <= epoch["staleness_max"] <= 4 for epoch in train["history"])
    assert metrics["test"]["auc"] > 0.55
    assert f"Run directory: {tmp_path}/run" in run.text()


@pytest.mark.slow
def test_trains_day_after_day_and_goes_on_after_the_coordinators_death(tmp_path, capsys):
    logs, file = tmp_path / "logs", tmp_path / "daily.yaml"
    generate(logs, users=150, items=400, rows=2400, history_length=2, seed=3, by_day=True)
    plain = document(tmp_path / "run", epochs=1)
    plain["model"].update(num_keys=12, memory_placement="row_wise")
    days = {"first": "2023-12-15", "last": "2023-12-17", "vocabularies": "grow"}
    plain["data"] = {"train": f"{logs}/day-{{day}}.parquet", "days": days, "batch_size": 32}
    file.write_text(strict_yaml.dump(plain))
    with Launched(file, "--workers", 2, "--ps", 2) as run:
        run.wait_for(r"day 2023-12-15 \(1/3\)")
        run.kill("coordinator")
        assert run.wait() == 1 and run.alive() == []
    with Launched(file, "--ps", 1, "--resume") as run:
        assert run.wait() == 0, run.text()
        assert "Continuing at step " in run.text()
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    found = metrics["days"]
    assert [one["day"] for one in found] == ["2023-12-15", "2023-12-16", "2023-12-17"]
    assert metrics["train"]["examples"] == sum(one["before"]["examples"] for one in found)
    assert all(one["new_rows"] > 0 for one in found[1:])
    assert main(["inspect", str(tmp_path / "run"), "--rows", "50"]) == 0
    assert "144 slots (12 x 12 keys)" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_everything_when_it_is_asked_to_end(pipeline, number):
    with Launched(pipeline, *DNN, "--set", "train.epochs=100000") as run:
        run.wait_for("epoch 1/100000")
        run.process.send_signal(number)
        assert run.wait(30) == 130
        assert run.alive() == []
        assert run.text().endswith("lmn-tf: stopped.")


@pytest.mark.slow
def test_a_mistake_in_the_run_ends_everything(pipeline):
    with Launched(pipeline, *DNN, "--set", "data.valid=absent*") as run:
        assert run.wait() == 2
        assert run.alive() == []
        assert "no file matches absent" in run.text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "0"], "`--workers` must be at least 1"),
        (["--ps", "0"], "`--ps` must be at least 1"),
        (["--set", "train.epoch=2"], "Did you mean `epochs`"),
    ],
)
def test_mistakes_are_told_in_one_line(pipeline, arguments, message, capsys):
    assert main(["launch", pipeline, *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1
