import json

import pytest

from lmn_tf.cli.main import main
from lmn_tf.models import registry


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_lists_the_models(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "class", "what", "it", "is"]
    assert [line.split()[0] for line in lines[1:]] == list(registry.names())


def test_shows_one_model(capsys):
    assert main(["models", "din"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("din (DIN, lmn_tf/models/din.py)\n")
    assert "MLP(concat[user, item, context, cross, DIN(history, target)])" in out
    assert "attention_units" in out and "[80, 40]" in out and "\ncost: `O(" in out
    assert "\nreference: Zhou et al." in out and "run by: pipelines/" in out


def test_a_narrow_terminal_folds(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    for arguments in (["models"], ["models", "lmn"]):
        assert main(arguments) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 60


def test_json(capsys):
    assert main(["models", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(registry.names())
    assert main(["models", "dnn", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "DNN"


def test_markdown(capsys):
    assert main(["models", "dnn", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("## dnn\n")
    assert main(["models", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Models\n")


def test_an_unknown_model_is_told(capsys):
    assert main(["models", "poolin"]) == 2
    assert "Did you mean `pooling`?" in capsys.readouterr().err
