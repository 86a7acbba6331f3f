import ast
import subprocess
import sys

import click
import pytest

from lmn_tf.cli import main as module
from lmn_tf.cli.main import COMMANDS, cli, explain, main
from lmn_tf.specs.errors import UserError
from lmn_tf.version import __version__


@pytest.fixture
def failing(monkeypatch):
    """Returns a function that makes `lmn-tf fail` raise what it is given."""

    def install(error):
        @click.command()
        def fail():
            raise error

        monkeypatch.setattr(cli, "get_command", lambda ctx, name: fail)
        monkeypatch.setitem(COMMANDS, "fail", ("none:fail", "Fails."))

    return install


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_every_command_without_importing_any(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    for name, (_, text) in COMMANDS.items():
        assert name in shown
        assert text.split()[0] in shown


def test_version(capsys):
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name, root):
    place, _, function = COMMANDS[name][0].partition(":")
    tree = ast.parse((root / (place.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_an_example(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"lmn-tf {name}" in capsys.readouterr().out.partition("Example")[2]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["chek", "x"], "lmn-tf: `chek` must be a command of lmn-tf. Did you mean `check`?"),
        (["check"], "lmn-tf: check: Missing argument 'FILE'."),
        (["check", "--dta", "x"], "lmn-tf: check: No such option '--dta'. Did you mean '--data'?"),
        (["--debg"], "lmn-tf: No such option '--debg'. Did you mean '--debug'?"),
        (["check", "none.yaml"], "lmn-tf: none.yaml: file must exist."),
    ],
)
def test_a_user_s_mistake_is_one_line_and_status_2(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", message + "\n")


@pytest.mark.parametrize(
    "error, message, status",
    [
        (UserError("no.", "a.yaml", 3), "a.yaml:3: no.", 2),
        (UserError("no.", others=(UserError("x"),)), "no. (and 1 more mistake)", 2),
        (UserError("no.", others=(UserError("x"),) * 2), "no. (and 2 more mistakes)", 2),
        (FileNotFoundError(2, "No such file", "a.parquet"), "a.parquet: No such file", 2),
        (OSError("disk on fire"), "disk on fire", 2),
        (ValueError("`k` must be less. Received: k=3\nmore"), "`k` must be less. Received: k=3", 2),
        (ValueError("odd"), "ValueError: odd (--debug shows where)", 1),
        (MemoryError(), "memory must suffice for what was asked. Received: out of memory", 1),
        (RuntimeError(""), "RuntimeError: no message (--debug shows where)", 1),
        (KeyboardInterrupt(), "stopped.", 130),
        (click.Abort(), "stopped.", 130),
        (BrokenPipeError(), None, 1),
    ],
)
def test_no_error_shows_a_traceback(error, message, status, failing, capfd, monkeypatch):
    monkeypatch.setattr(module.os, "dup2", lambda *_: None)
    failing(error)
    assert main(["fail"]) == status
    shown = capfd.readouterr().err.lstrip("\n")  # a line break follows the terminal's ^C
    assert shown == ("" if message is None else f"lmn-tf: {message}\n")


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_the_traceback(arguments, failing, capsys):
    failing(UserError("no."))
    assert main(arguments) == 2
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.endswith("lmn-tf: no.\n")


def test_debug_after_two_dashes_is_an_argument(capsys):
    assert main(["check", "--", "--debug"]) == 2
    assert "--debug: file must exist." in capsys.readouterr().err


def test_explain_keeps_to_one_line():
    assert "\n" not in explain(RuntimeError("a\nb"))[0]


def test_the_command_runs_as_a_module(root):
    done = subprocess.run(
        [sys.executable, "-m", "lmn_tf.cli.main", "chek"], capture_output=True, text=True, cwd=root
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_a_closed_pipe_is_no_error(root):
    command = f"{sys.executable} -m lmn_tf.cli.main schema | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=root)
    assert done.stdout == "{\n"
    assert done.stderr == ""
