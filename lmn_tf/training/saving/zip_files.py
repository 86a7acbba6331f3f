"""Checks of zip files of unknown origin before they are unpacked."""

import os
import zipfile

from lmn_tf.specs.errors import UserError

_FACTOR = 20
_ALWAYS = 64 * 2**20


def check_unpacked_size(path: str | os.PathLike) -> None:
    """Refuses a zip file that would unpack to far more than weights take.

    Weights hardly compress: files of Keras unpack to their own size, and recompressed ones to a few
    times that. So all members together may unpack to 64 MiB plus 20 times the size of the file.
    Python reads no more of a member than its stated size. A file that is not a zip file passes,
    since it cannot be unpacked.

    Args:
        path: Path of the file.

    Raises:
        UserError: If the members are larger.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError):
        return
    size = os.path.getsize(path)
    if unpacked > _ALWAYS + _FACTOR * size:
        raise UserError(
            f"the file must unpack to at most 64 MiB and {_FACTOR} times its own size of {size:,} "
            f"bytes. Received: {unpacked:,} bytes",
            file=path,
        )


def check_zip(path: str | os.PathLike) -> None:
    """Verifies the checksum of every member of a zip file.

    Args:
        path: Path of the file.

    Raises:
        UserError: If the file is missing, truncated or altered.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
    # Damaged headers cause all kinds of errors: unknown methods, passwords, excessive memory.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"the file must be whole. Received: {reason}", file=path) from error
