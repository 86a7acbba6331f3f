"""Limits of what is in the server at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Overloaded(Exception):
    """More is in the server than may be: the client shall come back later."""


class Place:
    """What one request takes of the server.

    Args:
        gate: `Gate`.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.num_bytes = 0
        self.is_admitted = False

    def hold(self, num_bytes: int) -> None:
        """Takes memory for a part of the body.

        Raises:
            Overloaded: If all bodies together would take too much.
        """
        if self._gate.num_bytes + num_bytes > self._gate.max_bytes:
            raise Overloaded
        self._gate.num_bytes += num_bytes
        self.num_bytes += num_bytes

    def admit(self) -> None:
        """Takes one of the places of requests.

        Raises:
            Overloaded: If all are taken.
        """
        if self._gate.is_full:
            raise Overloaded
        self._gate.num_requests += 1
        self.is_admitted = True


class Gate:
    """Limits the number of requests that are being answered, and the bytes of their bodies.

    Args:
        max_requests: Integer.
        max_bytes: Integer.

    Attributes:
        num_requests: Integer. Number of the requests that were admitted and are not answered.
        num_bytes: Integer. Bytes of the bodies that are being read or answered.

    Example:

    >>> gate = Gate(max_requests=2, max_bytes=100)
    >>> with gate.place() as place:
    ...     place.admit()
    ...     gate.num_requests
    1
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.num_requests = self.num_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether all places are taken."""
        return self.num_requests >= self.max_requests

    @contextlib.contextmanager
    def place(self) -> Iterator[Place]:
        """Gives a place for a request, which is free again at the end of the block."""
        place = Place(self)
        try:
            yield place
        finally:
            self.num_bytes -= place.num_bytes
            self.num_requests -= place.is_admitted
