"""A cache of what was computed of users."""

from __future__ import annotations

import collections
import threading
from collections.abc import Hashable
from typing import Protocol


class Sized(Protocol):
    """A value that tells its size in bytes."""

    num_bytes: int


class UserCache:
    """A cache of users that forgets those unused for longest, for use by several threads.

    Args:
        max_bytes: Integer. How much its values may take together. One that is larger is not kept.

    Attributes:
        num_bytes: Integer. Size of all values.

    Example:

    >>> cache = UserCache(max_bytes=100)
    >>> cache.get("user") is None
    True
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._values: collections.OrderedDict[Hashable, Sized] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Sized | None:
        """Returns the value of a key, or `None`."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Hashable, value: Sized) -> None:
        """Keeps a value in place of that of the same key; others make room for it.

        One that is larger than all may be takes no room from others, and leaves its key empty.
        """
        with self._lock:
            before = self._values.pop(key, None)
            self.num_bytes -= 0 if before is None else before.num_bytes
            if value.num_bytes > self.max_bytes:
                return
            self.num_bytes += value.num_bytes
            self._values[key] = value
            while self.num_bytes > self.max_bytes:
                _, oldest = self._values.popitem(last=False)
                self.num_bytes -= oldest.num_bytes
