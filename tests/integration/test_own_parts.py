"""The package that the page of own parts shows works in every command."""

import json
import re
import shlex
import sys

import own_shop
import pytest

from lmn_tf.cli.main import main


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The current folder, with the package and the log of the page."""
    own_shop.write_package(tmp_path)
    own_shop.write_log(tmp_path / "log")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_shop"]:
        del sys.modules[name]


def run(commands, capsys):
    """Runs commands of the page; returns the output of each by its name."""
    outputs = {}
    for command, shown in commands:
        status = main(shlex.split(command))
        out, err = capsys.readouterr()
        assert status == 0, (command, err)
        lines = [line.rstrip() for line in out.splitlines()]
        assert [line for line in shown if line not in lines] == [], (command, out)
        outputs[command.split()[0]] = out
    return outputs


def test_the_page_runs(shop, capsys):
    commands = own_shop.commands()
    names = [command.split()[0] for command, _ in commands]
    outputs = run(commands[: names.index("train") + 1], capsys)
    assert re.search(r"\ntest .* [01]\.\d{4} ", outputs["train"]) and "brier" in outputs["train"]
    metrics = json.loads((shop / "runs" / "shop_towers" / "metrics.json").read_text())
    assert metrics["model"] == "shop_towers" and 0 < metrics["test"]["metrics"]["brier"] < 1
    written = (shop / "runs" / "shop_towers" / "pipeline.yaml").read_text()
    for path in ("towers:ShopTowers", "optimizers:SignSGD", "metrics:Brier"):
        assert f"my_shop.{path}" in written
    evaluated = run([("evaluate runs/shop_towers", [])], capsys)["evaluate"]
    assert json.loads(evaluated)["metrics"] == pytest.approx(metrics["test"]["metrics"])
    sys.path.remove(str(shop))
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_shop"]:
        del sys.modules[name]
    (shop / "my_shop").rename(shop / "gone")
    assert main(["predict", "runs/shop_towers", "--data", "data/test-*", "--output", "scores"]) == 2
    said = capsys.readouterr().err
    assert "pipeline.yaml:" in said and "No module named 'my_shop'" in said
    assert "Received: name='my_shop.towers:ShopTowers'" in said


@pytest.mark.slow
def test_the_whole_page_runs(shop, capsys):
    outputs = run(own_shop.commands(), capsys)
    titles = outputs["compare"].splitlines()[4]
    assert titles.index("NE") < titles.index("brier") < titles.index("parameters")
    assert "parameters" in titles and "differs by at most" in outputs["export"]
    assert (shop / "scores.parquet").exists()
