"""Arrays that grow on disk."""

import os

import numpy as np


class DiskArray:
    """Appends arrays to a file, and then maps the whole into memory, read-only.

    Args:
        path: String. The file to be made.
    """

    def __init__(self, path: str):
        self._path = path
        self._file = open(path, "wb")
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = None

    def append(self, values: np.ndarray) -> None:
        """Adds values, all of one dtype and width, at the end."""
        self._shape, self._dtype = values.shape[1:], values.dtype
        self._file.write(np.ascontiguousarray(values).data)
        self._rows += len(values)

    def close(self) -> None:
        """Closes the file; nothing can be added any more."""
        self._file.close()

    def finish(self) -> np.ndarray:
        """Returns all values and one zero item, the padding, behind them."""
        self.append(np.zeros((1, *self._shape), self._dtype))
        self.close()
        shape = (self._rows, *self._shape)
        mapped = np.memmap(self._path, dtype=self._dtype, mode="r", shape=shape)
        os.unlink(self._path)  # the map keeps the space until it is dropped
        return np.asarray(mapped)
