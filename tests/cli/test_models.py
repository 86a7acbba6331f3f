import json
import re

import own_shop
import pytest

from lmn_tf.cli.main import main
from lmn_tf.cli.models import page, section
from lmn_tf.models import catalog, registry

NAMES = (*registry.names(), *registry.baselines())


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def test_lists_the_models(capsys):
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "class", "what", "it", "is"]
    assert [line.split()[0] for line in lines[1:]] == list(NAMES)


def test_shows_one_model(capsys):
    assert main(["models", "din"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("din (DIN, lmn_tf/models/hosts/din.py)\n")
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
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(NAMES)
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


def test_the_committed_page_is_current(root):
    committed = (root / "lmn_tf" / "models" / "README.md").read_text(encoding="utf-8")
    assert committed == page(), (
        "docstrings, options or pipelines have changed: "
        "lmn-tf models --markdown > lmn_tf/models/README.md"
    )


def test_links_lead_somewhere(root):
    text = page()
    titles = re.findall(r"^## (.*)$", text, re.M)
    places = {title.lower().replace(" ", "-") for title in titles}
    assert set(NAMES) <= places
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in places
        else:
            assert (root / "lmn_tf" / "models" / target).exists(), target


@pytest.mark.parametrize("name", NAMES)
def test_each_option_stands_once(name):
    """In the model's own section, or in that of a class it links to."""
    own = set(re.findall(r"^\| `(\w+)` \|", section(catalog.describe(name)), re.M))
    linked = re.findall(r"\]\(#([\w-]+)\)", section(catalog.describe(name)))
    found = set(own)
    for other in linked:
        part = page().partition(f"\n## {other}\n")[2] or page().partition("\n## Options of ev")[2]
        found |= set(re.findall(r"^\| `(\w+)` \|", part.partition("\n## ")[0], re.M))
    assert set(registry.options(name)) <= found


def test_bars_do_not_end_a_cell():
    model = catalog.describe("pooling")
    model["options"][0]["meaning"] = "O(|x|)"
    assert "| O(\\|x\\|) |" in section(model)


def test_models_of_installed_packages_are_listed_without_being_imported(
    capsys, tmp_path, monkeypatch
):
    own_shop.register(tmp_path, "my-shop", {"lmn_tf.models": {"towers": "nowhere:Towers"}})
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["models"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["towers", "nowhere:Towers", "Model", "of", "my-shop", "1.0."]
    assert "nowhere:Towers" not in page()
    assert main(["models", "towers"]) == 2
    assert "name='towers' (nowhere:Towers): No module named 'nowhere'" in capsys.readouterr().err
