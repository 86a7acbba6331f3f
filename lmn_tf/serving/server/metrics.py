"""Metrics of the server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Metrics of the server, in the text format of Prometheus.

    Attributes:
        requests: Counter of requests for scores, by `status`.
        seconds: Histogram of the time from the head of a request that was scored to its answer.
        rows: Counter of rows and candidates that were scored.
        batches: Histogram of the number of requests that were scored together.
        loads: Counter of exports, by `result`: `"loaded"` or `"refused"`.

    Example:

    >>> metrics = Metrics()
    >>> metrics.rows.inc(3)
    >>> b"lmn_tf_scored_rows_total 3.0" in metrics.text()
    True
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "lmn_tf_requests", "Requests for scores.", ["status"], registry=registry
        )
        self.seconds = Histogram(
            "lmn_tf_request_seconds",
            "Seconds from the head of a request that was scored to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.rows = Counter(
            "lmn_tf_scored_rows", "Rows and candidates that were scored.", registry=registry
        )
        self.batches = Histogram(
            "lmn_tf_batch_requests",
            "Requests that were scored together.",
            buckets=_REQUESTS,
            registry=registry,
        )
        self.loads = Counter(
            "lmn_tf_model_loads", "Exports that were loaded or refused.", ["result"],
            registry=registry,
        )  # fmt: skip
        self._pending = Gauge(
            "lmn_tf_pending_requests", "Requests that wait or are scored.", registry=registry
        )
        self._model = Gauge(
            "lmn_tf_model_info", "The export that is served.",
            ["export", "model_version", "run_id"], registry=registry,
        )  # fmt: skip

    def watch_pending(self, count: Callable[[], float]) -> None:
        """Reads the number of pending requests from a function."""
        self._pending.set_function(count)

    def show(self, export: Any) -> None:
        """Names the export that is served.

        Args:
            export: `ServedExport`.
        """
        self._model.clear()
        info = {key: export.info[key] or "" for key in ("model_version", "run_id")}
        self._model.labels(export=export.name, **info).set(1)

    def text(self) -> bytes:
        """Returns all metrics."""
        return generate_latest(self._registry)
