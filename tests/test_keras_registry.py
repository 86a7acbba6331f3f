import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from tiny_run import trained_run

from lmn_tf import keras_registry
from lmn_tf.keras_internals import REGISTRATION_MODULE
from lmn_tf.keras_registry import KerasRegistry

PACKAGE = Path(__file__).resolve().parent.parent / "lmn_tf"
REGISTERED = re.compile(r'register_keras_serializable\(package="lmn_tf"\)\nclass (\w+)')


def registered_names():
    files = sorted(PACKAGE.rglob("*.py"))
    return [f"lmn_tf>{name}" for file in files for name in REGISTERED.findall(file.read_text())]


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_importing_the_package_lets_keras_load_a_run_and_every_class():
    code = (
        "import lmn_tf, sys\n"
        "assert 'keras' not in sys.modules and 'tensorflow' not in sys.modules\n"
        "import keras\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "assert type(model).__name__ == 'LMN' and model.built and model.optimizer.built\n"
        "find = keras.saving.get_registered_object\n"
        "print([name for name in sys.argv[2:] if find(name).__name__ != name.split('>')[1]])\n"
    )
    names = registered_names()
    assert len(names) > 50
    assert run(code, trained_run() / "model.keras", *names) == "[]\n"


def test_keras_may_be_imported_first(monkeypatch):
    module = sys.modules[REGISTRATION_MODULE]
    monkeypatch.setattr(module, "GLOBAL_CUSTOM_OBJECTS", {"mine>length": len})
    keras_registry.register()
    assert keras.saving.get_registered_object("mine>length") is len
    keras_registry.register()
    found = keras.saving.get_custom_objects()
    assert type(found) is KerasRegistry and dict(found) == {"mine>length": len}


def test_classes_are_loaded_when_one_is_asked_for(monkeypatch):
    registry, calls = KerasRegistry({"mine>length": len}), []

    def load():
        calls.append(1)
        registry["lmn_tf>Probe"] = int

    monkeypatch.setattr(keras_registry, "load_classes", load)
    assert "mine>length" in registry and registry.get("mine>size") is None and 7 not in registry
    assert calls == []
    assert registry["lmn_tf>Probe"] is int and registry.get("lmn_tf>Probe") is int
    assert "lmn_tf>Probe" in registry and len(calls) == 1


def test_a_name_that_is_not_registered_is_missing():
    registry = KerasRegistry({})
    assert "lmn_tf>Prob" not in registry and registry.get("lmn_tf>Prob", 3) == 3
    with pytest.raises(KeyError, match="lmn_tf>Prob"):
        registry["lmn_tf>Prob"]
