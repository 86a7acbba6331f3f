import subprocess
import sys

import pytest
from own_modules import write_modules

from lmn_tf.models import catalog, registry
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize("name", (*registry.names(), *registry.baselines()))
def test_each_model_says_what_it_is(name):
    found = catalog.describe(name)
    assert found["summary"].endswith(".")
    for key in ("formula", "complexity", "references"):
        assert found[key], f"the docstring of {found['class']} says nothing of its {key}"
    options = registry.options(name)
    assert [option["name"] for option in found["options"]] == list(options)


def test_options():
    options = {option["name"]: option for option in catalog.describe("lmn_control")["options"]}
    assert options["memory_hidden_units"] == {
        "name": "memory_hidden_units",
        "type": "list of int ≥ 1 or null",
        "default": "null",
        "meaning": "Widths of the hidden layers of the user-aware MLP, or `None` for one layer of "
        "twice the width of the history.",
        "of": "UserAwareQuery",
    }
    assert (
        options["attention_units"]["meaning"]
        == "Widths of the hidden layers of the attention unit."
    )
    assert (options["attention_units"]["of"], options["dropout"]["of"]) == ("DIN", "CTRModel")
    assert options["batch_norm"]["type"] == "bool" and options["batch_norm"]["default"] == "true"


@pytest.fixture
def written(monkeypatch):
    """Returns what is described of a model with a given docstring."""

    def describe(docstring):
        monkeypatch.setattr(catalog, "_docstring", lambda module, class_name: docstring)
        return catalog.describe("dnn")

    return describe


def test_parts_of_a_docstring(written):
    found = written(
        "Does.\n\nComputes `logit =\nf(x)`.\n\nArgs:\n    spec: A spec.\n\n"
        "Complexity:\n    `O(1)`\n"
        "    only.\n\nReference:\n    - One\n      more.\n    - Two - three.",
    )
    assert (found["summary"], found["formula"]) == ("Does.", "logit = f(x)")
    assert found["description"] == "Computes `logit =\nf(x)`."
    assert found["complexity"] == "`O(1)` only."
    assert found["references"] == ["One more.", "Two - three."]


def test_what_a_docstring_lacks(written):
    found = written("Does.")
    assert (found["formula"], found["complexity"], found["references"]) == (None, None, [])
    assert found["description"] == ""


def test_formulas(written):
    found = written("Does.\n\nWhere `a = b` and `a = b` and `c=d`: `e = f`.")
    assert found["formula"] == "a = b; e = f"
    found = written("Does.\n\nWhere `a = b`: `logit = f(a)`.")
    assert found["formula"] == "logit = f(a)"


def test_an_unknown_model():
    with pytest.raises(UserError, match="`name` must be a model.*Did you mean `lmn`"):
        catalog.describe("lnm")


def test_pipelines_come_before_comparisons():
    assert "pipelines/movielens_1m_lmn.yaml" in catalog.describe("lmn")["pipelines"]
    assert all("comparison" not in one for one in catalog.describe("lmn")["pipelines"])
    [only] = catalog.describe("lmn_control")["pipelines"]
    assert only.endswith("_comparison.yaml")


def test_a_base_may_have_no_model(tmp_path):
    for name in catalog._CHECKOUT:
        (tmp_path / name).mkdir()
    (tmp_path / "pipelines/common.yaml").write_text("pipeline_version: 1\ntrain: {epochs: 1}\n")
    (tmp_path / "pipelines/din.yaml").write_text(
        "pipeline_version: 1\nbase: common.yaml\nmodel: {name: din}\n"
    )
    assert catalog._pipelines(tmp_path) == {"din": ["pipelines/din.yaml"]}


def test_an_installed_package_has_no_pipelines(tmp_path, monkeypatch, root):
    monkeypatch.setattr(catalog, "__file__", str(tmp_path / "site/lmn_tf/models/x.py"))
    monkeypatch.chdir(tmp_path)
    assert catalog.describe("lmn")["pipelines"] == []
    monkeypatch.chdir(root / "tests")
    assert "pipelines/movielens_1m_lmn.yaml" in catalog.describe("lmn")["pipelines"]


def test_needs_no_tensorflow():
    code = (
        "import sys; from lmn_tf.models import catalog; catalog.describe('lmn');"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_of_a_user(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    found = catalog.describe("users_models:Wide")
    assert (found["class"], found["file"]) == ("Wide", "users_models.py")
    assert (found["summary"], found["formula"]) == ("DNN with an option.", "logit = wide(x)")
    assert found["options"][0]["name"] == "width"
