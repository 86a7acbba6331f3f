"""Glob patterns that follow links without cycles."""

import glob
import os


def file_glob(pattern: str) -> list[str]:
    """Returns the paths that match a pattern, sorted by name.

    As `glob.glob`, where `**` stands for any number of folders. Links to folders are followed, but
    each folder is entered once, on its shortest way: a link to a folder above it adds nothing.

    Args:
        pattern: String, with `*`, `?`, `[...]` and `**`.

    Example:

    >>> file_glob("/no/such/folder/**/*.parquet")
    []
    """
    parts = pattern.split(os.sep)
    # Two of them in a row stand for what one does.
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
    """Yields folders and those inside of them, each once: `""`, or a path with a slash last."""
    entered, level = set(), roots
    while level:
        below = []
        for folder in level:
            try:
                status = os.stat(folder or os.curdir)
                names = sorted(os.listdir(folder or os.curdir))
            except OSError:  # not a folder, or not to be read
                continue
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            yield folder
            inside = [folder + name for name in names if not name.startswith(".")]
            below += [path + os.sep for path in inside if os.path.isdir(path)]
        level = below
