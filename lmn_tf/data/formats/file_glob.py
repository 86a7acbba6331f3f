"""Glob patterns that follow links without cycles."""

import glob
import os


def file_glob(pattern: str) -> list[str]:
    """Returns the paths that match a pattern, sorted by name.

    As `glob.glob`, where `**` matches any number of folders. Links to folders are followed, but
    each folder is entered once, by its shortest path: a link to a parent folder adds nothing.

    Args:
        pattern: String, with `*`, `?`, `[...]` and `**`.

    Example:

    >>> file_glob("/no/such/folder/**/*.parquet")
    []
    """
    parts = pattern.split(os.sep)
    # Two in a row are equal to one.
    parts = [part for i, part in enumerate(parts) if part != "**" or parts[i - 1 : i] != ["**"]]
    if "**" not in parts:
        return sorted(glob.glob(pattern))
    position = parts.index("**")
    head, tail = os.sep.join(parts[:position]), os.sep.join(parts[position + 1 :]) or "*"
    if position:
        head += os.sep
    paths: set[str] = set()
    for folder in _folders(sorted(glob.glob(head)) if head else [""]):
        paths.update(file_glob(glob.escape(folder) + tail))
    return sorted(paths)


def _folders(roots: list[str]):
    """Yields folders and their subfolders, each once: `""`, or a path that ends in a slash."""
    entered, level = set(), roots
    while level:
        below = []
        for folder in level:
            try:
                status = os.stat(folder or os.curdir)
                names = sorted(os.listdir(folder or os.curdir))
            except OSError:  # not a folder, or not readable
                continue
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            yield folder
            inside = [folder + name for name in names if not name.startswith(".")]
            below += [path + os.sep for path in inside if os.path.isdir(path)]
        level = below
