"""Checksum files, which detect damage before a file is read."""

import functools
import hashlib
import os
import re

from lmn_tf.specs.errors import UserError

SUFFIX = ".sha256"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class FileState:
    """State of a file at the start of reading: size, device, inode and time of change.

    Args:
        path: String. Path of the file.

    Raises:
        UserError: If the file does not exist.

    Example:

    >>> state = FileState(__file__)
    >>> state.check_unchanged()
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._state_at_start = self._look()

    def check_unchanged(self) -> None:
        """Raises a `UserError` if the file was replaced or written to."""
        if self._look() != self._state_at_start:
            raise UserError(
                "the file must stay as it is while it is read. Received: it was changed or "
                "replaced since reading began. Write new data beside it, then start again.",
                file=self.path,
            )

    def _look(self):
        try:
            status = os.stat(self.path)
        except OSError as error:
            raise UserError(
                f"the file must exist while it is read. Received: {error.strerror}",
                file=self.path,
            ) from error
        return status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino


def write_checksum(path: str | os.PathLike) -> None:
    """Writes the SHA-256 of a file in the format of `sha256sum`, next to the file.

    Args:
        path: Path of the file; its checksum is written to `PATH.sha256`.

    Example:

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     write_checksum(file.name)
    ...     verify_checksum(file.name)
    ...     os.unlink(file.name + ".sha256")
    """
    path = os.fspath(path)
    with open(path + SUFFIX, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"{file_digest(path)}  {os.path.basename(path)}\n")


def verify_checksum(path: str | os.PathLike) -> None:
    """Raises a `UserError` if a file does not match its checksum.

    Files without a checksum file are accepted. A process hashes a file once, unless it changes.

    Args:
        path: Path of the file.
    """
    path = os.fspath(path)
    if not os.path.isfile(path + SUFFIX):
        return
    with open(path + SUFFIX, encoding="utf-8", errors="replace") as file:
        wanted = _LINE.fullmatch(file.read(1_000).strip())
    if wanted is None or wanted[2] != os.path.basename(path):
        raise UserError(
            "the file must hold one line of `sha256sum`, with the name of the file beside it. "
            "Remove it to read that file unchecked.",
            file=path + SUFFIX,
        )
    status = os.stat(path)
    state = status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    if kept_digest(path, status.st_size, *state) != wanted[1]:
        raise UserError(
            f"the file must have the SHA-256 noted in {os.path.basename(path)}{SUFFIX}. Received: "
            "another one: the file is damaged, or was changed without its checksum. Write it "
            "again, or remove the checksum if it was changed on purpose.",
            file=path,
        )


@functools.lru_cache(maxsize=100_000)
def kept_digest(path: str | os.PathLike, size: int, *state: int) -> str:
    """Returns the SHA-256 of a file, cached in the process while the file is not changed.

    Args:
        path: Path of the file.
        size: Integer. Size of the file.
        *state: Times of change and inode of the file.
    """
    return file_digest(path)


def file_digest(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
