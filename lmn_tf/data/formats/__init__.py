"""Data files of all formats as streams of Arrow tables."""

import glob
import os
from collections.abc import Mapping, Sequence

from lmn_tf.data.formats.file_glob import file_glob
from lmn_tf.data.formats.unit import Unit
from lmn_tf.data.reading.checksum import SUFFIX
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml.plain_file import other_than_file

__all__ = ["Unit", "format_of", "match_files", "open_files"]

_FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}


def match_files(files: str | os.PathLike | Sequence[str | os.PathLike]) -> list[str]:
    """Returns the files of a glob, a path or a list of them, sorted by name.

    A file that is found under several spellings of its folder is returned once.

    Raises:
        UserError: If nothing matches, or if a match is an empty file, a pipe, a device or a broken
            link.
    """
    patterns = [files] if isinstance(files, str | os.PathLike) else list(files)
    paths: set[str] = set()
    for pattern in map(os.fspath, patterns):
        matches = [pattern] if os.path.isfile(pattern) else _matches(pattern)
        if not matches:
            folder = os.path.dirname(pattern) or "."
            reason = "" if glob.glob(folder) else f" (folder {folder} does not exist)"
            raise UserError(f"data files must exist. Received: no file matches {pattern}{reason}")
        paths.update(matches)
    files = _without_spellings(sorted(paths))
    for path in files:
        if os.path.getsize(path) == 0:
            raise UserError("the file must not be empty. Received: 0 bytes", file=path)
    return files


def format_of(path: str) -> str | None:
    """Returns `"parquet"`, `"csv"` or `"tfrecord"` by the name of a file, otherwise `None`."""
    return _FORMATS.get(os.path.splitext(path.lower().removesuffix(".gz"))[1])


def _without_spellings(paths: list[str]) -> list[str]:
    """Returns the first of the paths of each name in each folder."""
    folders = {folder: os.path.realpath(folder) for folder in {os.path.dirname(p) for p in paths}}
    files: dict[tuple[str, str], str] = {}
    for path in paths:
        files.setdefault((folders[os.path.dirname(path)], os.path.basename(path)), path)
    return list(files.values())


def _matches(pattern: str) -> list[str]:
    """Returns the files that match a glob, without checksums; pipes and devices are errors."""
    files = []
    for path in file_glob(pattern):
        if path.endswith(SUFFIX):
            continue
        other = other_than_file(path)
        if other is None:
            files.append(path)
        elif other != "a folder":
            raise UserError(f"data must be in files. Received: {other}", file=path)
    return files


def open_files(
    files: str | os.PathLike | Sequence[str | os.PathLike],
    lists: Mapping[str, str | None] | None = None,
    numbers: Sequence[str] = (),
    texts: Sequence[str] = (),
    delimiter: str | None = None,
) -> list[Unit]:
    """Opens data files as units, sorted by name.

    The name determines the format: `.parquet`, `.csv`, `.tsv` or `.tfrecord`, where the last three
    may be compressed as `.gz`.

    Args:
        files: Glob, path, or list of them.
        lists: Mapping from list column to the separator of its cells in CSV; without one, the
            cells stay as they are. Defaults to `None`.
        numbers: Names of columns of numbers. Defaults to `()`.
        texts: Names of columns whose cells in CSV are unchanged text. Defaults to `()`.
        delimiter: String. Delimiter of CSV files. Defaults to `None`: a tab in files whose name
            ends in `.tsv`, otherwise a comma.

    Returns:
        List of `Unit`. Files without rows, which some tools write beside others, have none.

    Raises:
        UserError: If no file matches, if a file is empty, truncated or of an unknown format, or if
            no file has rows.
    """
    from lmn_tf.data.formats.csv import CsvTypes, open_csv
    from lmn_tf.data.formats.parquet import open_parquet

    types = CsvTypes(lists or {}, numbers, texts)
    units: list[Unit] = []
    paths = match_files(files)
    for path in paths:
        kind = format_of(path)
        if kind == "parquet":
            units += open_parquet(path)
        elif kind == "csv":
            units += open_csv(path, types, delimiter)
        elif kind == "tfrecord":
            from lmn_tf.data.formats.tfrecord import open_tfrecord

            units += open_tfrecord(path, lists or {})
        else:
            raise UserError(
                "the file's name must end in .parquet, .csv, .tsv or .tfrecord. "
                f"Received: {os.path.basename(path)}",
                file=path,
            )
    if not units:
        raise UserError("the file must hold at least one row. Received: 0 rows", file=paths[0])
    return units
