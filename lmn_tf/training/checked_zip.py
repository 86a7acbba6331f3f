"""Zip files whose checksums are verified before anything in them is taken to mean something."""

import contextlib
import zipfile
from collections.abc import Iterator

from lmn_tf.specs.errors import UserError


def check_zip(path) -> None:
    """Verifies the checksum of every member of a zip file.

    Args:
        path: The file.

    Raises:
        UserError: When the file is missing, cut off or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def read_checked(path, name: str) -> bytes:
    """Returns the content of one member of a zip file, whose checksum holds.

    Args:
        path: The file.
        name: The member.

    Raises:
        UserError: When the file is missing, or what is read of it is cut off or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return archive.read(name)


@contextlib.contextmanager
def _reading(path) -> Iterator[None]:
    try:
        yield
    # Damaged headers ask for anything: unknown methods, passwords, all of the memory.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"the file must be whole. Received: {reason}", file=path) from error
