"""Files that must stay as they are while they are read."""

import os

from lmn_tf.specs.errors import UserError


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
