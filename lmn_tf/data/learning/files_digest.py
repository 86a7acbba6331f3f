"""Digest of the files that vocabularies and statistics are learned from."""

import hashlib
import os
from collections.abc import Iterable

from lmn_tf.data.reading.row_limit import RowLimit


def files_digest(files: Iterable[str], folder: str, limit: int | RowLimit | None = None) -> str:
    """Returns a digest of the names and sizes of files, and of the number of rows that are read.

    Names are relative to `folder`, so that a folder may be moved with its files.

    Args:
        files: Paths of the files.
        folder: String. Path of the folder.
        limit: Integer, `RowLimit` or `None`: all rows. Defaults to `None`.

    Example:

    >>> files_digest([], "data") == files_digest([], "data", limit=10)
    False
    """
    named = sorted(
        (os.path.relpath(file, folder or ".").replace(os.sep, "/"), os.path.getsize(file))
        for file in files
    )
    text = repr((named, limit)).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()
