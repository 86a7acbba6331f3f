import json
import signal
import sys
from pathlib import Path

import pytest
from tiny_run import write_pipeline

from lmn_tf.cli.main import main

sys.path.insert(0, str(Path(__file__).parent.parent / "distribute"))

from launched import Launched

DNN = ["--set", "model={name: dnn, hidden_units: [8]}"]


@pytest.fixture
def pipeline(tmp_path):
    settings = {"epochs": 14, "checkpoint_steps": 40}
    return str(write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run", **settings))


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
