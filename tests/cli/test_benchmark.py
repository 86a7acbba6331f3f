import json
import sys

import pytest

from lmn_tf.cli.main import main

SCRIPT = '''"""Says what it was given.

More words.
"""
import json, sys
print(json.dumps(sys.argv[1:]))
sys.exit({status})
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout with two benchmarks; the current folder lies below it."""
    folder = tmp_path / "checkout" / "pipelines" / "benchmarks"
    folder.mkdir(parents=True)
    (folder / "ops.py").write_text(SCRIPT.format(status=0))
    (folder / "broken_layer.py").write_text(SCRIPT.format(status=1))
    below = tmp_path / "checkout" / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    return folder


def test_lists_names_with_one_line_each(folder, capsys):
    assert main(["benchmark"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "broken_layer  Says what it was given.",
        "ops           Says what it was given.",
    ]
    assert main(["benchmark", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ops"] == "Says what it was given."


def test_options_reach_the_script_with_its_own_behind(folder, capfd):
    arguments = ["--quick", "--json", "--rounds", "2", "--only", "a b", "--output", "here"]
    assert main(["benchmark", "ops", *arguments, "--data", "files"]) == 0
    given = json.loads(capfd.readouterr().out)
    assert given[-2:] == ["--data", "files"]
    options = ["--quick", "--json", "--output", "here", "--rounds", "2", "--only", "a b"]
    assert given[:-2] == options


def test_the_status_is_that_of_the_script(folder):
    assert main(["benchmark", "broken_layer"]) == 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["opps"], "`opps` must be a benchmark. Did you mean `ops`?"),
        (["x", "--folder", "nowhere"], "nowhere: `--folder` must be a folder."),
        (["x", "--folder", "."], "the folder of benchmarks must hold scripts. Received: none"),
        (["ops", "--rounds", "0"], "Invalid value for '--rounds'"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, folder, capsys):
    assert main(["benchmark", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1


def test_outside_of_a_checkout(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark"]) == 2
    assert "must run inside a checkout of lmn_tf" in capsys.readouterr().err


def test_unknown_options_are_told_by_the_script(root, monkeypatch, capfd):
    monkeypatch.chdir(root)
    assert main(["benchmark", "ops", "--quik"]) == 2
    err = capfd.readouterr().err
    assert err == "lmn-tf: benchmark ops: `--quik` must be an option. Did you mean `--quick`?\n"


def test_every_benchmark_of_the_repository_has_a_line(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["benchmark", "--json"]) == 0
    summaries = json.loads(capsys.readouterr().out)
    assert {"ops", "product_key_layer", "memory_sizes"} <= set(summaries)
    assert all(text.endswith(".") for text in summaries.values())


def test_is_started_without_tensorflow(root):
    import subprocess

    code = "import sys, lmn_tf.cli.benchmark; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root).returncode == 0
