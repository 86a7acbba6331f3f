"""Options of the server."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """Options of the server.

    Args:
        host: String. Address to listen on. Defaults to `"127.0.0.1"`: this machine alone.
        port: Integer. Defaults to `8000`; 0 takes any that is free.
        threads: Integer. How many CPU threads score, each one batch at a time. Defaults to `None`:
            as many as there are cores.
        events_dir: Folder of the event files of histories by reference. Defaults to `None`.
        max_rows: Integer. Most rows, or candidates, of a request. Defaults to `1000`.
        max_body_kib: Integer. Largest body of a request in KiB. Defaults to `1024`.
        max_pending: Integer. How many requests may wait or be scored; further ones are refused.
            Defaults to `64`.
        timeout: Float. Seconds from the head of a request to its answer. Defaults to `5.0`.
        batch_rows: Integer. Most rows that are scored at once, of one request or of several.
            Defaults to `256`.
        batch_wait_ms: Float. Milliseconds that rows wait for those of further requests, if a thread
            is free. Defaults to `0.0`.
        cache_mib: Integer. Memory for what was computed of recent users, in MiB. Defaults to `0`.
        poll: Float. Seconds between two looks for a new export. Defaults to `2.0`.

    Example:

    >>> ServerOptions(max_rows=10).max_body_bytes
    1048576
    """

    host: str = "127.0.0.1"
    port: int = 8000
    threads: int | None = None
    events_dir: str | None = None
    max_rows: int = 1000
    max_body_kib: int = 1024
    max_pending: int = 64
    timeout: float = 5.0
    batch_rows: int = 256
    batch_wait_ms: float = 0.0
    cache_mib: int = 0
    poll: float = 2.0

    @property
    def max_body_bytes(self) -> int:
        """Largest body of a request in bytes."""
        return 1024 * self.max_body_kib
