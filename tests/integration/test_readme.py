"""The README shows no command that does not exist."""

import re
import shlex

import click
import pytest

from lmn_tf.cli.main import cli

DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def code_lines(path):
    """Lines of the fenced blocks that are not Python."""
    for block in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M):
        if block[0] != "python":
            yield from block[1].splitlines()


def commands(path, program):
    for line in code_lines(path):
        line = line.removeprefix("$ ").strip()
        if line.startswith(program + " "):
            yield line.split("   #")[0].strip()


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


def parse(line):
    """Parses a command of the command line without running it."""
    arguments = shlex.split(line, comments=True)[1:]
    context = click.Context(cli, info_name="lmn-tf")
    name, command, rest = cli.resolve_command(context, arguments)
    assert command is not None, f"no command named {name}"
    options = {option for item in command.params for option in item.opts}
    for argument in rest:
        if argument.startswith("--"):
            assert argument.split("=")[0] in options | {"--help"}, f"{name} has no {argument}"
    return name


def test_every_command_of_the_readme_exists_with_its_options(root):
    lines = list(commands(root / "README.md", "lmn-tf"))
    assert len(lines) >= 5
    for line in lines:
        parse(line)


def test_every_command_printed_by_the_makefile_exists(root):
    text = (root / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"bin/(lmn-tf [^\"\n\\]+)", text)
    assert len(lines) >= 4
    for line in lines:
        parse(line)


def test_files_named_in_the_documents_exist(root):
    for document in DOCUMENTS:
        text = (root / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (root / target).exists(), f"{document} links to {target}"


def test_yaml_files_named_in_the_documents_exist(root):
    for document in (*DOCUMENTS, "Makefile"):
        text = (root / document).read_text(encoding="utf-8")
        for target in re.findall(r"\b((?:pipelines|feature_specs)/\w+\.yaml)", text):
            assert (root / target).exists(), f"{document} names {target}"


def test_the_tree_names_folders_that_exist(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    tree = re.search(r"## Tree\n+```text\n(.*?)```", text, re.S)[1]
    for name in re.findall(r"^([a-z_]+)/", tree, re.M):
        assert (root / name).is_dir(), name
    for line in re.findall(r"^  ((?:[a-z_]+/ ?)+)", tree, re.M):
        for name in line.split():
            assert (root / "lmn_tf" / name).is_dir(), name
