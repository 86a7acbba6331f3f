"""The documents show no command that does not exist, and what the README shows runs."""

import configparser
import pathlib
import re
import shlex

import click
import pytest
from documents import blocks, commands, parse

from lmn_tf.cli.main import cli

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def makefile_targets(root):
    text = (root / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.M))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_command_is_a_target(root, document):
    shown = [shlex.split(line)[1] for line in commands(root / document, "make")]
    assert shown and set(shown) <= makefile_targets(root)


def test_the_readme_opens_with_the_two_commands(root):
    shown = [shlex.split(line)[1] for line in commands(root / "README.md", "make")]
    assert shown[:2] == ["quickstart", "test"]


def test_every_command_of_the_readme_exists_with_its_options(root):
    lines = list(commands(root / "README.md", "lmn-tf"))
    assert len(lines) >= 5
    for line in lines:
        parse(line)


def test_the_readme_names_every_command(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    names = cli.list_commands(click.Context(cli))
    assert [name for name in names if not re.search(rf"`{name}`|lmn-tf {name} ", text)] == []


def test_every_command_printed_by_the_makefile_exists(root):
    text = (root / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"bin/(lmn-tf [^\"\n\\]+)", text)
    assert len(lines) >= 4
    for line in lines:
        parse(line)


def test_files_and_titles_named_in_the_documents_exist(root):
    for document in (*DOCUMENTS, "pipelines/results/README.md", "feature_specs/README.md"):
        path = root / document
        for target, title in re.findall(
            r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", path.read_text(encoding="utf-8")
        ):
            file = path.parent / target if target else path
            assert file.exists(), f"{document} links to {target}"
            assert not title or title in titles(file), f"{document} links to {target}#{title}"


def titles(path):
    """The anchors of a Markdown file's titles."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_yaml_files_named_in_the_documents_exist(root):
    for document in (*DOCUMENTS, "Makefile"):
        text = (root / document).read_text(encoding="utf-8")
        for target in re.findall(r"\b((?:pipelines|feature_specs)/\w+\.yaml)", text):
            assert (root / target).exists(), f"{document} names {target}"


def test_the_tree_names_folders_that_exist(root):
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = re.search(r"## Tree\n+```text\n(.*?)```", text, re.S)[1]
    for name in re.findall(r"^([a-z_]+)/", tree, re.M):
        assert (root / name).is_dir(), name
    for line in re.findall(r"^  ((?:[a-z_]+/ ?)+)", tree, re.M):
        for name in line.split():
            assert (root / "lmn_tf" / name).is_dir(), name


def test_supported_versions_are_those_of_the_package(root):
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg", encoding="utf-8")
    options = setup["options"]
    first, last = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", options["python_requires"]).groups()
    keras, tensorflow = (
        re.search(rf"^{name}>=([\d.]+),", options["install_requires"], re.M)[1]
        for name in ("keras", "tensorflow")
    )
    line = f"Python 3.{first} to 3.{int(last) - 1} · Keras {keras} · TensorFlow {tensorflow}\n"
    assert line in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["README.md", "docs/pairs.md", "docs/strong_hosts.md"])
def test_figures_of_the_results_are_those_of_the_comparisons(root, document):
    text = (root / document).read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^|]*\]\(([^|]*?comparison\.md)\)[^|]*\|(.*)\|$", text, re.M)
    assert len(rows) >= 2
    for file, row in rows:
        comparison = (root / document).parent.joinpath(file).read_text(encoding="utf-8")
        figures = re.findall(r"(?<![-+])\b0\.\d{4}(?: ± 0\.\d{4})?", row)  # no differences
        assert len(figures) >= 3
        figures += [f"({p})" for p in re.findall(r"p [=<] 0\.\d{3}\b", row)]
        assert [figure for figure in figures if figure not in comparison] == []


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """A folder as a reader has it, with feature specs."""
    (tmp_path / "feature_specs").symlink_to(root / "feature_specs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme_runs(folder):
    names = {}
    for language, text, *_ in blocks(README):
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)  # noqa: S102
    assert list(names["model"].history.epoch) == [0]
    assert "val_auc" in names["model"].history.history
    assert names["read_out"].shape == (None, 16)
