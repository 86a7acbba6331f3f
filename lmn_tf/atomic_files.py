"""Files and folders that appear whole or not at all."""

import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

_MARK = ".partial-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary path that becomes `path` when the block ends well.

    The temporary file lies in the folder of `path` and keeps its suffix, since some writers look
    at the suffix. At the end it is flushed to the disk and renamed over `path`; a reader sees the
    old file or the new one, never a part. When the block raises, the temporary file is removed
    and `path` stays as it was.

    Args:
        path: The file to write.

    Yields:
        The temporary path to write to.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with atomic_path(f"{folder}/a.txt") as temporary:
    ...     _ = temporary.write_text("whole")
    >>> Path(f"{folder}/a.txt").read_text()
    'whole'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a temporary folder that becomes the new folder `path` when the block ends well.

    Args:
        path: The folder to make; it must not exist, or be empty.

    Yields:
        The temporary folder to fill.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_MARK}{uuid.uuid4().hex[:8]}-{path.name}")
    temporary.mkdir()
    try:
        yield temporary
        for item in sorted(temporary.rglob("*"), reverse=True):
            _flush(item)
        if path.is_dir():
            path.rmdir()
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike, value) -> None:
    """Writes a JSON file, whole or not at all; a number that is not finite becomes `null`."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def finite(value):
    """Replaces each NaN or infinity in nested lists and dicts by None, as JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Removes temporary files and folders that a killed process left in `folder`."""
    for item in Path(folder).glob(f"{_MARK}*"):
        if item.is_dir():
            shutil.rmtree(item, ignore_errors=True)
        else:
            item.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
