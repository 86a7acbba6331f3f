"""Check of the Keras backend: this package needs TensorFlow's."""

import json
import os
import pathlib
import sys

from lmn_tf.specs.errors import UserError


def require_tensorflow() -> None:
    """Raises when Keras runs, or would run, on another backend than TensorFlow.

    Raises:
        UserError: naming the setting: the variable `KERAS_BACKEND` or the file `keras.json`.
    """
    message = other_backend()
    if message is not None:
        raise UserError(message)


def other_backend() -> str | None:
    """Returns what is wrong with the backend of Keras, or `None`. Keras is not imported."""
    setting, name = _setting()
    if "keras" in sys.modules and hasattr(sys.modules["keras"], "backend"):
        running = sys.modules["keras"].backend.backend()
        if running == "tensorflow":
            return None
        setting = setting if running == name else "keras"
        name = running
    if name == "tensorflow":
        return None
    return f"Keras must run on tensorflow. Received: {name}, from {setting}"


def _setting():
    """Returns where Keras finds its backend, in words, and the backend's name."""
    name = os.environ.get("KERAS_BACKEND")
    if name:
        return "the variable KERAS_BACKEND", name
    path = _folder() / "keras.json"
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):  # Keras takes no notice of it either.
        name = "tensorflow"
    return f"`backend` in {path}", name


def _folder():
    if "KERAS_HOME" in os.environ:
        return pathlib.Path(os.environ["KERAS_HOME"]).expanduser()
    home = pathlib.Path("~").expanduser()
    return (home if os.access(home, os.W_OK) else pathlib.Path("/tmp")) / ".keras"
