import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmn_tf.tensorflow_log import quiet_tensorflow, turned_away_stderr

ROOT = Path(__file__).resolve().parents[1]


def run(code, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    environment = {key: value for key, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )


def test_nothing_of_the_import_is_seen():
    code = (
        "from lmn_tf.tensorflow_log import quiet_tensorflow\n"
        "quiet_tensorflow()\n"
        "import sys, tensorflow as tf\n"
        "print(tf.constant(1).numpy())\n"
        "print('after', file=sys.stderr)\n"
    )
    done = run(code, TF_CPP_MIN_LOG_LEVEL=None, TF_ENABLE_ONEDNN_OPTS=None)
    assert done.stdout == "1\n" and done.stderr == "after\n"


def test_what_was_turned_away_is_shown_on_failure(capfd):
    with pytest.raises(ValueError, match="broken"):
        with turned_away_stderr():
            os.write(2, b"the reason\n")
            raise ValueError("broken")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "the reason\nafter\n"


def test_what_was_turned_away_is_not_shown_otherwise(capfd):
    with turned_away_stderr():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""


def test_is_nothing_once_tensorflow_is_there(capfd):
    import tensorflow  # noqa: F401

    quiet_tensorflow()
    os.write(2, b"seen\n")
    assert "seen" in capfd.readouterr().err
