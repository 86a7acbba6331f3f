"""TensorFlow's log, kept off the screen."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from lmn_tf.keras_backend import require_tensorflow


def quiet_tensorflow(find_devices: bool = True) -> None:
    """Imports TensorFlow and finds the devices without its notes about the machine.

    They come from native code past Python's `sys.stderr` and past TensorFlow's own log level, so
    file descriptor 2 is turned away meanwhile. When `TF_CPP_MIN_LOG_LEVEL` is set, the user has
    said what to see, and nothing is turned away. What was turned away is shown when the import
    fails. `lmn-tf doctor` reports devices in words.

    Args:
        find_devices: Boolean. Whether to find the devices, too. Defaults to `True`.

    Raises:
        UserError: Keras is set to another backend.
    """
    require_tensorflow()
    if "tensorflow" in sys.modules:
        return
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        import tensorflow

        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    with turned_away_stderr():
        import tensorflow

        if find_devices:
            tensorflow.config.list_physical_devices()


@contextlib.contextmanager
def turned_away_stderr() -> Iterator[None]:
    """Sends file descriptor 2 to a temporary file, shown only when the block raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            log.seek(0)
            os.write(2, log.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
