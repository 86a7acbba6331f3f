"""The documents show no command that does not exist, and what the README shows runs.

As a program, rewrites the README's table of models.
"""

import configparser
import pathlib
import re
import shlex

import click
import pytest
from documents import blocks, commands, parse, run

from lmn_tf.cli.main import cli
from lmn_tf.models import catalog, registry

DOCUMENTS = ("README.md", "CONTRIBUTING.md")
README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
BEGIN, END = "<!-- models: begin -->\n", "<!-- models: end -->\n"


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


def test_figures_of_the_results_are_those_of_the_comparisons(root):
    text = README.read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^|]*\]\((pipelines/results/.*?)\) \|(.*)\|$", text, re.M)
    assert len(rows) >= 4
    for file, row in rows:
        comparison = (root / file).read_text(encoding="utf-8")
        figures = re.findall(r"0\.\d{4}(?: ± 0\.\d{4})?", row)
        assert len(figures) >= 3
        assert [figure for figure in figures if figure not in comparison] == []


def models_table():
    """The README's table of models, as the registry and the docstrings have it."""
    links = {name: f"[`{name}`](lmn_tf/models/README.md#{name})" for name in registry.names()}
    rows = [f"| {link} | {catalog.describe(name)['summary']} |\n" for name, link in links.items()]
    return "".join(["| name | what it is |\n", "| --- | --- |\n", *rows])


def split_readme():
    """The README before its table of models, the table, and the rest."""
    first, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    table, _, last = rest.partition(END)
    return first + BEGIN, table, END + last


def test_the_table_of_models_is_current():
    assert split_readme()[1] == models_table(), (
        "models or docstrings have changed: python tests/integration/test_readme.py"
    )


@pytest.fixture
def folder(root, tmp_path, monkeypatch):
    """A folder as a reader has it: feature specs, a click log, and the YAML of the README."""
    (tmp_path / "feature_specs").symlink_to(root / "feature_specs")
    events = [(user, (user + 7 * time) % 30, time) for time in range(12) for user in range(20)]
    lines = ["user_id,item_id,time", *(f"u{user},i{item},{time}" for user, item, time in events)]
    (tmp_path / "my_log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for language, text, *_ in blocks(README):
        if language == "yaml":
            for part in re.split(r"^(?=# \w+\.yaml)", text, flags=re.M)[1:]:
                (tmp_path / part.split(":")[0][2:]).write_text(part, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_python_of_the_readme_runs(folder, capsys):
    names = {}
    for language, text, *_ in blocks(README):
        if language == "python":
            exec(compile(text, "README.md", "exec"), names)  # noqa: S102
    assert list(names["model"].history.epoch) == [0]
    assert "val_auc" in names["model"].history.history
    assert names["read_out"].shape == (None, 16)


def test_the_yaml_of_the_readme_is_accepted_for_a_log_prepared_as_it_says(folder):
    prepare, check, *_ = commands(README, "lmn-tf")
    assert "interactions" in run(prepare)
    assert run(check) == "my_pipeline.yaml: valid pipeline: model `lmn` on my_spec.yaml\n"
    report = run('lmn-tf check my_spec.yaml --data "data/my_log/train-*.parquet"')
    assert "valid feature spec `my_log`: 1 label, 2 features, 1 sequence" in report


@pytest.mark.slow
def test_the_commands_of_the_readme_train_and_export(folder):
    steps = list(commands(README, "lmn-tf"))[:5]
    assert [shlex.split(line)[1] for line in steps] == [
        "prepare",
        "check",
        "train",
        "inspect",
        "export",
    ]
    for line in steps:
        run(line)
    assert (folder / "runs" / "exported").is_dir()


if __name__ == "__main__":
    before, _, after = split_readme()
    README.write_text(before + models_table() + after, encoding="utf-8")
