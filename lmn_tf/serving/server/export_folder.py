"""Folder of the export that is served."""

from __future__ import annotations

import asyncio
import logging
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

from lmn_tf.serving.server.metrics import Metrics
from lmn_tf.specs.errors import UserError, clipped

_MODEL_FILE = pathlib.Path("saved_model", "saved_model.pb")
_logger = logging.getLogger("lmn_tf.serving")


class ExportFolder:
    """The export that is served, and its successors.

    The folder is an export, or has exports in folders whose names are numbers, the versions: the
    highest one is served. When the files of the export change, or another version becomes the
    highest, that export is loaded beside the one that is served, and takes its place once it has
    scored. One that cannot be loaded is refused: it is told in the log, and tried again when its
    files change. Files are looked at twice before they are loaded, since they may still be written.

    Args:
        folder: Path of the folder.
        load: Function that loads the export in a folder.
        metrics: `Metrics`.

    Attributes:
        current: What `load` returned for the export that is served.

    Raises:
        UserError: If the folder has no export.
    """

    def __init__(
        self, folder: str | os.PathLike, load: Callable[[pathlib.Path], Any], metrics: Metrics
    ) -> None:
        self._folder, self._load, self._metrics = pathlib.Path(folder), load, metrics
        newest = newest_export(self._folder)
        self._loaded = self._seen = _state(newest)
        self._refused = None
        self.current = self._timed_load(newest)

    async def watch(self, seconds: float) -> None:
        """Looks for a new export every so many seconds, until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(seconds)
            await loop.run_in_executor(None, self.refresh)

    def refresh(self) -> None:
        """Looks for a new export, and loads it if its files are as they were at the last look."""
        try:
            newest = newest_export(self._folder)
            state = _state(newest)
        except (OSError, UserError):
            return  # The folder is about to be replaced, or is gone: what is loaded stays.
        is_settled, self._seen = state == self._seen, state
        if not is_settled or state in (self._loaded, self._refused):
            return
        try:
            self.current = self._timed_load(newest)
            self._loaded, self._refused = state, None
        except Exception as error:  # TensorFlow has one for each kind of damage.
            self._refused = state
            self._metrics.loads.labels(result="refused").inc()
            text = clipped(" ".join(str(error).split()))
            _logger.error(
                "refused %s, `%s` goes on: %s: %s",
                newest, self.current.name, type(error).__name__, text,
            )  # fmt: skip

    def _timed_load(self, folder):
        started = time.perf_counter()
        export = self._load(folder)
        self._metrics.loads.labels(result="loaded").inc()
        self._metrics.show(export)
        seconds = time.perf_counter() - started
        _logger.info("loaded %s in %.1f seconds", folder.resolve(), seconds)
        return export


def newest_export(folder: str | os.PathLike) -> pathlib.Path:
    """Returns a folder if it is an export, else the folder with the highest number in it that is.

    Args:
        folder: Path of the folder.

    Raises:
        UserError: If there is none.
    """
    folder = pathlib.Path(folder)
    if (folder / _MODEL_FILE).is_file():
        return folder
    numbered = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    exports = [path for path in numbered if (path / _MODEL_FILE).is_file()]
    if not exports:
        raise UserError(
            "`EXPORT` must be a folder that `lmn-tf export` wrote, or have such folders with "
            f"numbers as names. Received: {folder}"
        )
    return max(exports, key=lambda path: int(path.name))


def _state(folder):
    """What tells the files of an export from others, without reading them."""
    folder = folder.resolve()
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return found
