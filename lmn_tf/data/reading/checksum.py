"""Checksums beside files, which tell a damaged file before it is read."""

import functools
import hashlib
import os
import re

from lmn_tf.specs.errors import UserError

SUFFIX = ".sha256"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class FileState:
    """The state of a file when its reading began: its size, its place on the disk, its last write.

    Args:
        path: String. The file.

    Raises:
        UserError: The file does not exist.

    Example:

    >>> state = FileState(__file__)
    >>> state.check_unchanged()
    """

    def __init__(self, path: str):
        self.path = path
        self._found = self._look()

    def check_unchanged(self) -> None:
        """Raises a `UserError` when the file is another one now, or was written to."""
        if self._look() != self._found:
            raise UserError(
                "the file must stay as it is while it is read. Received: it was changed or "
                "replaced since reading began. Write new data beside it, then start again.",
                file=self.path,
            )

    def _look(self):
        try:
            found = os.stat(self.path)
        except OSError as error:
            raise UserError(
                f"the file must exist while it is read. Received: {error.strerror}",
                file=self.path,
            ) from error
        return found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino


def write_checksum(path: str | os.PathLike) -> None:
    """Writes the SHA-256 of a file beside it, as `sha256sum` does and checks (`-c`).

    Args:
        path: The file; its checksum goes to `PATH.sha256`.

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
    """Raises a `UserError` when a file is not the one that its checksum was written for.

    A file without a checksum beside it passes. A process reads a file once for it, as long as the
    file stays as it is.

    Args:
        path: The file.
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
    found = os.stat(path)
    state = found.st_mtime_ns, found.st_ctime_ns, found.st_ino
    if kept_digest(path, found.st_size, *state) != wanted[1]:
        raise UserError(
            f"the file must have the SHA-256 noted in {os.path.basename(path)}{SUFFIX}. Received: "
            "another one: the file is damaged, or was changed without its checksum. Write it "
            "again, or remove the checksum if it was changed on purpose.",
            file=path,
        )


@functools.lru_cache(maxsize=100_000)
def kept_digest(path, size, *state) -> str:
    """Returns the SHA-256 of a file, read once by a process while it stays as it is.

    Args:
        path: The file.
        size: Integer. Its size.
        *state: Its times of last change and its number on the disk.
    """
    return file_digest(path)


def file_digest(path) -> str:
    """Returns the SHA-256 of a file in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
