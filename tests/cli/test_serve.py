import importlib.util

import pytest

from lmn_tf.cli import serve
from lmn_tf.cli.main import main
from lmn_tf.serving.server.options import ServerOptions


@pytest.fixture
def served(monkeypatch):
    """What the server is started with, instead of starting it."""
    from lmn_tf.serving.server import run

    calls = []
    monkeypatch.setattr(run, "run_server", lambda *arguments, announce: calls.append(arguments))
    return calls


def test_defaults_are_those_of_the_record(served):
    assert main(["serve", "exports/a"]) == 0
    assert served == [("exports/a", ServerOptions())]


def test_options_reach_the_server(served):
    arguments = ["--host", "0.0.0.0", "--port", "0", "--threads", "3", "--events-dir", "data"]
    arguments += ["--max-rows", "10", "--max-body-kib", "20", "--max-pending", "30"]
    arguments += ["--timeout", "0.5", "--batch-rows", "40", "--batch-wait-ms", "1.5"]
    arguments += ["--cache-mib", "50", "--poll", "9"]
    assert main(["serve", "exports/a", *arguments]) == 0
    ((folder, options),) = served
    assert options == ServerOptions("0.0.0.0", 0, 3, "data", 10, 20, 30, 0.5, 40, 1.5, 50, 9.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "serve: Invalid value for '--port'"),
        (["--threads", "0"], "serve: Invalid value for '--threads'"),
        (["--timeout", "0"], "serve: Invalid value for '--timeout'"),
        ([], "`EXPORT` must be a folder that `lmn-tf export` wrote"),
        (["--host", "no.such.host.invalid"], "`--host` and `--port` must be a free address"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, capsys, tmp_path):
    if "--port" not in arguments:
        arguments = [*arguments, "--port", "0"]
    assert main(["serve", str(tmp_path), *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1


def test_the_extra_is_named_where_its_packages_are_missing(monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        serve.importlib.util, "find_spec", lambda name: find(name) if name == "uvicorn" else None
    )
    assert main(["serve", "exports/a"]) == 2
    told = (
        'must be installed: pip install "lmn_tf[serve]". Received: no starlette, prometheus-client'
    )
    assert told in capsys.readouterr().err
