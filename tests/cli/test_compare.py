import json
from pathlib import Path

import pytest
from tiny_run import write_pipeline

from lmn_tf.cli.main import main
from lmn_tf.specs import strict_yaml
from lmn_tf.training import comparison as module
from lmn_tf.training.run_directory import RunDirectory


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison whose runs end at once, with made-up metrics."""

    def train(self, label, seed):
        figures = {"auc": 0.6 + 0.01 * seed + (label == "b") * 0.1, "logloss": 0.5}
        metrics = {"train": {"examples_per_second": 1.0}, "parameters": 5, "test": figures}
        folder = self.folder(label, seed)
        folder.mkdir(parents=True)
        RunDirectory(folder).metrics_file.write_text(json.dumps(metrics))

    monkeypatch.setattr(module.Comparison, "_train", train)
    monkeypatch.setattr(module.Comparison, "_check_finished", lambda self, label, seed: None)
    write_pipeline(tmp_path / "base.yaml", tmp_path / "unused")
    document = {
        "comparison_version": 1,
        "name": "tiny",
        "pipeline": "base.yaml",
        "models": [{"label": label, "model": {"name": "dnn"}} for label in ("a", "b")],
        "seeds": [1],
        "output": str(tmp_path / "out"),
    }
    path = tmp_path / "comparison.yaml"
    path.write_text(strict_yaml.dump(document))
    return str(path)


def test_prints_the_table(comparison, tmp_path, capsys):
    assert main(["compare", comparison]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("# tiny\n") and "| b " in out and "inconclusive (one seed)" in out
    assert out.endswith(f"{tmp_path}/out/comparison.md, comparison.json and comparison.png\n")
    assert "[2/2] b, seed 1: training" in err


def test_seeds_and_output_of_the_command_line(comparison, tmp_path, capsys):
    other = tmp_path / "other"
    assert main(["compare", comparison, "--seeds", "3", "--output", str(other), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seeds"] == [1, 2, 3]
    assert result["models"]["a"]["auc"]["values"] == [0.61, 0.62, 0.63]
    assert {path.name for path in other.glob("b-*")} == {"b-seed1", "b-seed2", "b-seed3"}


def test_mistakes_are_told_in_one_line(comparison, capsys):
    text = Path(comparison).read_text()
    Path(comparison).write_text(text.replace("name: dnn", "name: dnnn", 1))
    assert main(["compare", comparison]) == 2
    err = capsys.readouterr().err
    assert "Did you mean `dnn`" in err and len(err.strip().splitlines()) == 1
    assert main(["compare", comparison, "--seeds", "0"]) == 2
