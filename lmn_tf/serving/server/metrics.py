"""Metrics of the server, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
        unknown_ids: Counter of ids that the model does not know, by `column` of the feature spec.
        unread_columns: Counter of columns that requests had and the model does not read.
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
        self.unknown_ids = Counter(
            "lmn_tf_unknown_ids",
            "Ids of scored requests that the model does not know.",
            ["column"],
            registry=registry,
        )
        self.unread_columns = Counter(
            "lmn_tf_unread_columns",
            "Columns of scored requests that the model does not read.",
            registry=registry,
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

    def count_scored(self, num_rows: int, answer: Mapping[str, Any]) -> None:
        """Counts a request that was scored.

        Args:
            num_rows: Integer. Number of its rows or candidates.
            answer: What `ServedExport.score` returned for it.
        """
        self.rows.inc(num_rows)
        for column, count in answer.get("unknown_ids", {}).items():
            self.unknown_ids.labels(column=column).inc(count)
        self.unread_columns.inc(len(answer.get("unread_columns", ())))

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
