"""What the pages of the documentation show, run as a reader would.

The blocks of a page run in order, in one folder:

- `python` runs in one namespace; `pycon` runs in it as well, and prints what the page says;
- a block with a `title="NAME"` is that file;
- other `yaml` are keys of a pipeline or a feature spec, which accept them;
- `console` has commands after `$ `, and below them lines that they print, in this order. Numbers
  and digests may differ, `...` stands for anything, and lines may be left out. Commands of other
  programs than `lmn-tf`, `python` and `cat` are not run.

`<!-- slow -->` before a block leaves the rest of the page to slow tests, and
`<!-- not run: REASON -->` leaves out the block below it.
"""

import contextlib
import dataclasses
import doctest
import io
import pathlib
import re
import runpy
import shlex
from typing import NamedTuple

import click
from click.testing import CliRunner

from lmn_tf.cli.main import cli
from lmn_tf.models import registry
from lmn_tf.specs import spec_file
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import overrides, strict_yaml

_BLOCK = re.compile(r"^(?:<!-- (slow|not run: [^>]+) -->\n+)?```([^\n]*)\n(.*?)^```$", re.S | re.M)
_TITLE = re.compile(r' title="([^"]+)"')
_RUN = ("lmn-tf", "python", "cat")
_DIGEST = "[0-9a-f]{8,16}"
# A word of letters and digits as of a digest, or an escaped number.
_VARIABLE = re.compile(rf"(?P<digest>\b(?=\d*[a-f])(?=[a-f]*\d){_DIGEST}\b)|\d+(?:(?:\\\.|,)\d+)*")


class Block(NamedTuple):
    """A fenced block of a page: its language, its text, how it is marked, and its file."""

    language: str
    text: str
    mark: str = ""
    file: str = ""


def blocks(path):
    """Returns the fenced blocks of a page."""
    found = []
    for mark, info, text in _BLOCK.findall(path.read_text(encoding="utf-8")):
        title = _TITLE.search(info)
        found.append(Block(info.split(" ")[0], text, mark, title[1] if title else ""))
    return found


def commands(path, program):
    """Yields the commands of a program that a page shows, without comments."""
    for block in blocks(path):
        if block.language not in ("", "console"):
            continue
        for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
            if block.language == "console" and not line.startswith("$ "):
                continue  # output
            line = line.removeprefix("$ ").strip()
            if line.startswith(program + " "):
                yield line.split("   #")[0].strip()


def parse(line):
    """Parses a command of the command line without running it, and returns its name."""
    arguments = shlex.split(line, comments=True)[1:]
    context = click.Context(cli, info_name="lmn-tf")
    name, command, rest = cli.resolve_command(context, arguments)
    assert command is not None, f"no command named {name}"
    options = {option for item in command.params for option in item.opts}
    for argument in rest:
        if argument.startswith("--"):
            assert argument.split("=")[0] in options | {"--help"}, f"{name} has no {argument}"
    return name


def run(line):
    """Runs a command of the command line, and returns what it prints."""
    result = CliRunner().invoke(cli, shlex.split(line, comments=True)[1:])
    assert result.exit_code == 0, f"{line}: {result.output} {result.exception}"
    return result.output


def run_page(path, slow=False):
    """Runs the blocks of a page in the current folder, and returns the names of its Python.

    Args:
        path: Path of the page.
        slow: Whether to run the part that is marked as slow. Defaults to `False`.
    """
    names = {"__name__": "page"}
    for block in blocks(path):
        if block.mark == "slow" and not slow:
            break
        if not block.mark.startswith("not run"):
            run_block(block, names, path.name)
    return names


def run_block(block, names, page):
    """Runs a block, or writes the files that it is."""
    if block.file:
        path = pathlib.Path(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            spec_file.load(path)
    elif block.language == "python":
        exec(compile(block.text, page, "exec"), names)  # noqa: S102
    elif block.language == "pycon":
        run_doctest(block.text, names, page)
    elif block.language == "yaml":
        check_keys(block.text)
    elif block.language == "console":
        for command, expected in commands_with_output(block.text):
            if shlex.split(command)[0] in _RUN:
                compare(command, expected, output(command))


def run_doctest(text, names, page):
    """Runs an interactive session, and checks what it prints."""
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    test.globs = names
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    shown = io.StringIO()
    failed = doctest.DocTestRunner(optionflags=flags).run(test, out=shown.write, clear_globs=False)[
        0
    ]
    assert failed == 0, shown.getvalue()


def check_keys(text):
    """Checks some keys of a pipeline or a feature spec, together with the others that it needs."""
    keys, _ = strict_yaml.loads(text)
    if keys.keys() <= {field.name for field in dataclasses.fields(PipelineSpec)}:
        days = "days" in keys.get("data", ())
        data = {"train": "data/{day}.csv" if days else "data/train.csv"}
        other = {"pipeline_version": 1, "feature_spec": "spec.yaml", "run_dir": "run"}
        other |= {"data": data, "model": {"name": "dnn"}}
        registry.check_model(PipelineSpec.from_dict(overrides.merge(other, keys)).model)
    else:
        item = {"name": "item", "role": "item", "kind": "categorical", "lookup": {"hash": 10}}
        other = {"spec_version": 1, "name": "page", "labels": [{"name": "click"}]}
        FeatureSpec.from_dict({**other, "features": [item], **keys})


def commands_with_output(text):
    """Yields the commands of a console, each with the lines below it."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, expected = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield command, expected.splitlines()


def output(command):
    """Runs a command in this process, and returns what it prints."""
    program, *arguments = shlex.split(command, comments=True)
    if program == "lmn-tf":
        return run(command)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            for file in arguments:
                with open(file, encoding="utf-8") as source:
                    shown.write(source.read())
    return shown.getvalue()


def compare(command, expected, found):
    """Checks that a command has printed the expected lines, in order."""
    lines = iter(found.splitlines())
    for line in expected:
        if line.strip() in ("", "..."):
            continue
        pattern = re.compile(masked(line))
        assert any(pattern.fullmatch(squeezed(other)) for other in lines), (
            f"{command} does not print {line!r}:\n{found}"
        )


def squeezed(line):
    """Returns a line with single blanks, as columns may be wider."""
    return " ".join(line.split())


def masked(line):
    """Returns the pattern of a line with any numbers and digests."""
    pattern = re.escape(squeezed(line)).replace(r"\.\.\.", ".*")
    return _VARIABLE.sub(lambda found: _DIGEST if found["digest"] else r"[\d.,]+", pattern)
