"""Files and folders that appear whole or not at all."""

import concurrent.futures
import contextlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_MARK = ".partial-"
_FLUSHES = 16  # at the same time


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
def atomic_folder(path: str | os.PathLike, replace: bool = False) -> Iterator[Path]:
    """Gives a temporary folder that becomes the folder `path` when the block ends well.

    The temporary folder lies beside `path`. When the block raises, it is removed and `path` stays
    as it was.

    Args:
        path: The folder to make. A link is followed.
        replace: Whether a folder with files in it may be replaced. Defaults to `False`: `path`
            must not exist, or be empty.

    Yields:
        The temporary folder to fill.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with atomic_folder(f"{folder}/new") as temporary:
    ...     _ = (temporary / "a.txt").write_text("whole")
    >>> Path(f"{folder}/new/a.txt").read_text()
    'whole'
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(path.parent, path.name) as temporary:
        yield temporary
        _flush_all(temporary)
        if replace and path.is_dir():
            _exchange(temporary, path)
        else:
            # Systems differ in whether they rename over an empty folder.
            if path.is_dir():
                path.rmdir()
            os.replace(temporary, path)
        _flush(path.parent)


@contextlib.contextmanager
def atomic_content(folder: str | os.PathLike, last: str) -> Iterator[Path]:
    """Gives a temporary folder whose files move into `folder` when the block ends well.

    Files of the same names are replaced, others stay. When the block raises, `folder` keeps the
    files it had.

    Args:
        folder: The folder to fill; made when absent.
        last: Name of the file that moves last: where it is, all others are.

    Yields:
        The temporary folder to fill.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _temporary_folder(folder, "content") as temporary:
        yield temporary
        _flush_all(temporary)
        names = sorted(item.name for item in temporary.iterdir())
        for name in sorted(names, key=lambda name: name == last):
            os.replace(temporary / name, folder / name)
        _flush(folder)


@contextlib.contextmanager
def _temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    temporary = parent / f"{_MARK}{uuid.uuid4().hex[:8]}-{name}"
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(new: Path, path: Path) -> None:
    """Renames the folder `new` to `path`, whose former folder goes."""
    # Not marked as a leftover: until the new folder is in place, this is the only data there is.
    old = path.with_name(f".replaced-{uuid.uuid4().hex[:8]}-{path.name}")
    os.replace(path, old)
    try:
        os.replace(new, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a JSON file, whole or not at all; a number that is not finite becomes `null`."""
    text = json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def finite(value: Any) -> Any:
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
        _remove_marked(item)


def remove(path: str | os.PathLike) -> None:
    """Removes a file or a folder, which under its name is whole until it is gone."""
    path = Path(path)
    marked = path.with_name(f"{_MARK}{uuid.uuid4().hex[:8]}-{path.name}")
    os.replace(path, marked)
    _remove_marked(marked)


def _remove_marked(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush_all(folder: Path) -> None:
    # Together: the disk writes many small files in the time of one.
    with concurrent.futures.ThreadPoolExecutor(_FLUSHES) as pool:
        list(pool.map(_flush, folder.rglob("*")))
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
