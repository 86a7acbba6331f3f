import os
import subprocess
import sys
import types

import pytest

from lmn_tf import keras_backend
from lmn_tf.cli.main import main
from lmn_tf.specs.errors import UserError


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No Keras yet, no variable, and a folder for its settings."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path / "keras.json"


@pytest.mark.parametrize("text", [None, "{}", "no json", "[]", '{"backend": "tensorflow"}'])
def test_tensorflow_it_is(text, fresh):
    if text is not None:
        fresh.write_text(text)
    keras_backend.require_tensorflow()
    assert keras_backend.other_backend() is None


def test_the_setting_is_named(fresh, monkeypatch):
    fresh.write_text('{"backend": "torch"}')
    with pytest.raises(UserError, match="^Keras must run on tensorflow. Received: torch, from"):
        keras_backend.require_tensorflow()
    assert keras_backend.other_backend().endswith(f"`backend` in {fresh}")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert keras_backend.other_backend().endswith("Received: jax, from the variable KERAS_BACKEND")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert keras_backend.other_backend() is None


@pytest.mark.parametrize("running, wrong", [("jax", True), ("tensorflow", False)])
def test_keras_that_runs_already_says_it(running, wrong, fresh, monkeypatch):
    fresh.write_text('{"backend": "torch"}')
    backend = types.SimpleNamespace(backend=lambda: running)
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(backend=backend))
    assert (keras_backend.other_backend() is not None) == wrong


def test_the_folder_of_settings(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keras_backend._folder() == tmp_path / ".keras"
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert str(keras_backend._folder()) == "/tmp/.keras"


# A name of each package that needs Keras.
NAMES = {
    "layers": "LargeMemory",
    "metrics": "GroupedAUC",
    "optimizers": "RowWiseAdam",
    "features": "FeatureEncoder",
    "models": "LMN",
    "callbacks": "CollapseAlarm",
    "training": "Trainer",
}


def test_packages_import_and_their_names_need_tensorflow():
    code = (
        "import importlib, sys\n"
        f"for package, name in {NAMES}.items():\n"
        "    module = importlib.import_module(f'lmn_tf.{package}')\n"
        "    try:\n"
        "        getattr(module, name)\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        "assert 'keras' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    message = "Keras must run on tensorflow. Received: jax, from the variable KERAS_BACKEND"
    assert done.stdout.splitlines() == [message] * len(NAMES)


def test_commands_say_it_and_check_does_not_mind(fresh, monkeypatch, root, capsys):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    pipeline = str(root / "pipelines" / "quickstart.yaml")
    assert main(["check", pipeline]) == 0
    for command in (["train", pipeline], ["launch", "--workers", "1", "--ps", "1", pipeline]):
        assert main(command) == 2
        assert "Received: jax, from the variable KERAS_BACKEND" in capsys.readouterr().err
