"""Check that a path is a regular file, since reading a pipe or a device may never end."""

import os
import stat

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def other_than_file(path: str | os.PathLike) -> str | None:
    """Returns the kind of a path that exists and is not a regular file, else `None`.

    Args:
        path: Path. Links are followed; broken links are reported as well.

    Example:

    >>> other_than_file("/dev/zero"), other_than_file("/no/such/file")
    ('a device', None)
    """
    try:
        return _KINDS.get(stat.S_IFMT(os.stat(path).st_mode))
    except (OSError, ValueError):
        return "a link that leads nowhere" if _is_link(path) else None


def _is_link(path):
    try:
        return os.path.islink(path)
    except ValueError:  # a path with a zero byte
        return False
