import json
from pathlib import Path

import pytest
from tiny_run import write_pipeline

from lmn_tf.cli.main import main
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison import comparison as module
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison whose runs end at once, with made-up metrics."""

    def train(self, run, test):
        if run.label in failing or run.value in failing:
            return "no luck"
        figures = {"auc": 0.6 + 0.01 * run.seed + (run.label == "b") * 0.003, "logloss": 0.5}
        metrics = {"train": {"examples_per_second": 1.0}, "parameters": 5, "valid": figures}
        metrics |= {"test": figures, "diagnostics": {}} if test else {}
        folder = self.folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        RunDirectory(folder).metrics_file.write_text(json.dumps(metrics))

    failing = set()
    monkeypatch.setattr(module.Comparison, "_train", train)
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
    monkeypatch.setattr(module, "failing", failing, raising=False)
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


def test_a_run_that_fails_makes_the_status_1(comparison, tmp_path, capsys):
    module.failing.add("b")
    assert main(["compare", comparison, "--seeds", "2"]) == 1
    out, err = capsys.readouterr()
    assert "| a " in out and "- b-seed1: no luck" in out
    last = err.splitlines()[-2:]
    assert last == [f"lmn-tf: {tmp_path}/out/b-seed{n}: failed: no luck" for n in (1, 2)]
    module.failing.add("a")
    assert main(["compare", comparison, "--output", str(tmp_path / "new"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["models"] == {}
    assert main(["compare", comparison, "--output", str(tmp_path / "new")]) == 1
    assert capsys.readouterr().out == ""


def test_a_curve_without_its_last_value_is_printed(comparison, capsys):
    text = Path(comparison).read_text() + "vary: {data.train_rows: [5%, 100%]}\n"
    Path(comparison).write_text(text)
    module.failing.add("train_rows=100%")
    assert main(["compare", comparison]) == 1
    out = capsys.readouterr().out
    assert "No run is finished with train_rows=100%." in out and "## AUC by `data.train_" in out
    assert "comparison.md, comparison.json, curve.png and comparison.png" in out


def test_a_search_is_printed(comparison, tmp_path, capsys):
    text = Path(comparison).read_text()
    text += "search: {trials: 2, grid: {model.dropout: [0, 0.1, 0.2]}}\n"
    Path(comparison).write_text(text)
    assert main(["compare", comparison]) == 0
    assert "## Search" in capsys.readouterr().out
    Path(comparison).write_text(text.replace("trials: 2", "trials: 4"))
    assert main(["compare", comparison, "--output", str(tmp_path / "new")]) == 2
    err = capsys.readouterr().err
    line = text[: text.index("label: a")].count("\n") + 1
    assert err.startswith(f"lmn-tf: {comparison}:{line}: the grid of model `a` must have 4")


def test_mistakes_are_told_in_one_line(comparison, capsys):
    text = Path(comparison).read_text()
    Path(comparison).write_text(text.replace("name: dnn", "name: dnnn", 1))
    assert main(["compare", comparison]) == 2
    err = capsys.readouterr().err
    line = text[: text.index("name: dnn")].count("\n") + 1
    assert err.startswith(f"lmn-tf: {comparison}:{line}: `name` must be a model")
    assert "Did you mean `dnn`" in err and len(err.strip().splitlines()) == 1
    assert main(["compare", comparison, "--seeds", "0"]) == 2


def test_rows_without_a_network_are_fitted_beside_networks(tmp_path, capsys):
    write_pipeline(tmp_path / "base.yaml", tmp_path / "unused")
    rows = ("rates", "svd", "ease", "item_knn")
    models = [{"label": name, "model": {"name": name}} for name in rows]
    text = strict_yaml.dump(
        {
            "comparison_version": 1,
            "name": "ladder",
            "pipeline": "base.yaml",
            "models": models,
            "seeds": [1, 2],
            "output": str(tmp_path / "out"),
        }
    )
    (tmp_path / "ladder.yaml").write_text(text)
    assert main(["compare", str(tmp_path / "ladder.yaml"), "--in-process"]) == 0
    out, err = capsys.readouterr()
    assert "[4/4] item_knn, seed 1: training" in err and "failed" not in err
    out, _, support = out.partition("## Diagnostics")
    table = {line.split()[1]: line.split("|") for line in out.splitlines() if "| 0." in line}
    assert list(table) == list(rows) and all(f"\n| {name} " in support for name in rows)
    assert all(0.5 < float(row[2]) < 1 for row in table.values())
    assert main(["compare", str(tmp_path / "ladder.yaml"), "--in-process"]) == 0
    assert capsys.readouterr().err.count("finished before") == 4
    assert main(["train", str(tmp_path / "out" / "pipelines" / "rates-seed1.yaml")]) == 2
    assert main(["evaluate", str(tmp_path / "out" / "rates-seed1")]) == 2
    assert "`RUN_DIR` must hold a network. Received: " in capsys.readouterr().err
