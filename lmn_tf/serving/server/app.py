"""Application that answers requests for scores."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmn_tf.serving.server.batcher import Batcher
from lmn_tf.serving.server.export_folder import ExportFolder
from lmn_tf.serving.server.gate import Gate, Overloaded
from lmn_tf.serving.server.metrics import Metrics
from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.serving.server.request import RequestError, read_request
from lmn_tf.specs.errors import UserError

# As many of the largest bodies may be in memory at a time; parsed, some take 20 times as much.
_BODIES = 16
_RETRY = {"Retry-After": "1"}
_logger = logging.getLogger("lmn_tf.serving")


def create_app(
    folder: ExportFolder,
    options: ServerOptions,
    metrics: Metrics,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Starlette:
    """Creates the application.

    Args:
        folder: `ExportFolder`.
        options: `ServerOptions`, with `threads`.
        metrics: `Metrics`.
        is_stopping: Function that returns whether the server has been told to stop. Defaults to one
            that returns `False`.
    """
    endpoints = _Endpoints(folder, options, metrics, is_stopping)
    return Starlette(
        routes=[
            Route("/v1/score", endpoints.score, methods=["POST"]),
            Route("/v1/model", endpoints.model),
            Route("/health", endpoints.health),
            Route("/ready", endpoints.ready),
            Route("/metrics", endpoints.metrics),
        ],
        middleware=[Middleware(_ExportHeaders, folder=folder)],
        exception_handlers={HTTPException: _refused},
        lifespan=endpoints.lifespan,
    )


class _ExportHeaders:
    """Middleware that ties a request to the current export, and names it in the answer."""

    def __init__(self, app: ASGIApp, folder: ExportFolder) -> None:
        self._app, self._folder = app, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        export = self._folder.current
        scope.setdefault("state", {})["export"] = export

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *export.headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class _Endpoints:
    def __init__(self, folder, options, metrics, is_stopping):
        self._folder, self._options, self._metrics = folder, options, metrics
        self._is_stopping = is_stopping
        self._gate = Gate(options.max_pending, _BODIES * options.max_body_bytes)
        wait = options.batch_wait_ms / 1000
        self._batcher = Batcher(options.threads, options.batch_rows, wait, metrics.batches.observe)
        metrics.watch_pending(lambda: self._gate.num_requests)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self._batcher:
            watch = asyncio.create_task(self._folder.watch(self._options.poll))
            try:
                yield
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        if self._is_stopping():
            return _error(503, "the server is stopping.")
        if not self._batcher.is_alive:
            return _error(503, "a thread that scores is gone: restart the server.")
        return _json({"status": "ok"})

    async def model(self, request: Request) -> Response:
        limits = {"max_rows": self._options.max_rows, "max_body_kib": self._options.max_body_kib}
        return _json({**request.state.export.describe(), "limits": limits})

    async def metrics(self, request: Request) -> Response:
        text = self._metrics.text()
        return Response(text, headers={"Content-Type": self._metrics.content_type})

    async def score(self, request: Request) -> Response:
        started = time.perf_counter()
        with self._gate.place() as place:
            response = await self._answer(request, place)
        self._metrics.requests.labels(status=response.status_code).inc()
        if response.status_code == 200:
            self._metrics.seconds.observe(time.perf_counter() - started)
        return response

    async def _answer(self, request, place):
        """The answer to a request for scores, whatever is wrong with it."""
        try:
            async with asyncio.timeout(self._options.timeout):
                return await self._scores(request, place)
        except RequestError as error:
            return _error(error.status, error)
        except UserError as error:
            return _error(422, error)
        except Overloaded:
            return _error(503, "the server is busy: come back later.", _RETRY)
        except TimeoutError:
            limit = f"{self._options.timeout:g} seconds"
            if place.is_admitted:
                return _error(504, f"the answer must be ready within {limit}.", _RETRY)
            return _error(408, f"the body must arrive within {limit}.")
        except ClientDisconnect:
            return _error(400, "the body must arrive whole.")
        except Exception:
            _logger.exception("a request failed")
            return _error(500, "the request must be scored, but the server failed: see its log.")

    async def _scores(self, request, place):
        if self._gate.is_full:
            raise Overloaded  # Its body is not read at all.
        body = await self._body(request, place)
        place.admit()
        wanted = read_request(body, self._options.max_rows)
        answer = await self._batcher.score(request.state.export, wanted)
        self._metrics.count_scored(wanted.num_rows, answer)
        return _json(answer)

    async def _body(self, request, place):
        kind = request.headers.get("content-type", "")
        # Pages of other sites cannot send this type, unlike plain text, without being asked for it.
        if kind.partition(";")[0].strip().lower() != "application/json":
            rule = "`Content-Type` must be application/json"
            raise RequestError(415, f"{rule}. Received: {kind[:100] or 'nothing'}")
        coding = request.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise RequestError(415, f"the body must not be compressed. Received: {coding[:100]}")
        body, limit = bytearray(), self._options.max_body_bytes
        length = request.headers.get("content-length", "0")
        too_large = length.isdecimal() and int(length[:20]) > limit
        if not too_large:
            async for chunk in request.stream():
                too_large = len(body) + len(chunk) > limit
                if too_large:
                    break
                place.hold(len(chunk))
                body += chunk
        if too_large:
            raise RequestError(413, f"the body must be {self._options.max_body_kib:,} KiB at most.")
        return bytes(body)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    # ASCII alone: texts of requests, which errors repeat, may be no Unicode.
    text = json.dumps(content, allow_nan=False)
    return Response(text, status, headers, media_type="application/json")


def _error(status, message, headers=None):
    return _json({"error": str(message)}, status, headers)


async def _refused(request: Request, error: HTTPException) -> Response:
    """The answer to a request for what is not there."""
    return _error(error.status_code, error.detail, error.headers)
