"""Batches of requests that wait for a thread."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol


class Request(Protocol):
    """What is to be scored.

    Attributes:
        num_rows: Integer. How much it is.
        joins: Boolean. Whether it can be scored together with others.
    """

    num_rows: int
    joins: bool


class RequestScorer(Protocol):
    """A scorer of requests, for use by several threads."""

    def score(self, requests: Sequence[Request]) -> Sequence[Any]:
        """Returns for each request its scores, or the exception that it shall get."""


@dataclasses.dataclass(eq=False)
class _Waiting:
    scorer: RequestScorer
    request: Request
    future: asyncio.Future


class Batcher:
    """Scores requests in threads, together where several wait.

    A thread that becomes free takes the oldest request, and with it all others that can be scored
    together with it. So batches grow by themselves as the load does, and a request waits for none
    where a thread is free; unless `max_wait` says so. A request whose caller has given up is left
    out.

    Args:
        threads: Integer. How many batches are scored at a time.
        max_rows: Integer. Most rows of a batch of several requests.
        max_wait: Float. Seconds that a thread waits for a batch to fill. Defaults to `0.0`.
        observe: Function that is called with the number of requests of each batch. Defaults to
            `None`.

    Example:

    >>> async def main(scorer, request):
    ...     async with Batcher(threads=1, max_rows=256) as batcher:
    ...         return await batcher.score(scorer, request)
    """

    def __init__(
        self,
        threads: int,
        max_rows: int,
        max_wait: float = 0.0,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self.threads, self.max_rows, self.max_wait = threads, max_rows, max_wait
        self._observe = observe or (lambda count: None)
        self._queue: collections.deque[_Waiting] = collections.deque()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task] = []

    async def __aenter__(self) -> Batcher:
        self._pool = ThreadPoolExecutor(self.threads, "score")
        self._tasks = [asyncio.create_task(self._serve()) for _ in range(self.threads)]
        return self

    async def __aexit__(self, *error: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown()

    @property
    def is_alive(self) -> bool:
        """Whether each of the threads gets batches: after the start, unless there is a bug."""
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def score(self, scorer: RequestScorer, request: Request) -> Any:
        """Scores a request, and returns what the scorer does.

        Args:
            scorer: What scores the request. Only requests with the same one are scored together.
            request: What is to be scored.

        Raises:
            Exception: What the scorer returned for the request, or raised for its batch.
        """
        future = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(scorer, request, future))
        self._arrived.set()
        return await future

    async def _serve(self):
        """Scores batches, one at a time."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._next_batch()
            self._observe(len(batch))
            requests = [waiting.request for waiting in batch]
            try:
                found = await loop.run_in_executor(self._pool, batch[0].scorer.score, requests)
            except Exception as error:
                found = [error] * len(batch)
            for waiting, result in zip(batch, found, strict=True):
                if waiting.future.done():
                    continue
                if isinstance(result, Exception):
                    waiting.future.set_exception(result)
                else:
                    waiting.future.set_result(result)

    async def _next_batch(self):
        loop = asyncio.get_running_loop()
        batch = [await self._first()]
        self._join(batch)
        until = loop.time() + self.max_wait
        while batch[0].request.joins and _rows(batch) < self.max_rows and loop.time() < until:
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._arrived.wait()
            except TimeoutError:
                break
            self._join(batch)
        return batch

    async def _first(self):
        """The request that has waited for longest."""
        while True:
            while self._queue:
                waiting = self._queue.popleft()
                if not waiting.future.done():
                    return waiting
            self._arrived.clear()
            await self._arrived.wait()

    def _join(self, batch):
        """Takes from the queue what can be scored together with a batch."""
        first, rows, others = batch[0], _rows(batch), collections.deque()
        if not first.request.joins:
            return
        for waiting in self._queue:
            request = waiting.request
            fits = request.joins and waiting.scorer is first.scorer
            if waiting.future.done():
                continue
            if fits and rows + request.num_rows <= self.max_rows:
                batch.append(waiting)
                rows += request.num_rows
            else:
                others.append(waiting)
        self._queue = others


def _rows(batch):
    return sum(waiting.request.num_rows for waiting in batch)
