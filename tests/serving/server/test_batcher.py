import asyncio
import contextlib
import dataclasses
import threading
import time

import pytest

from lmn_tf.serving.server.batcher import Batcher


@dataclasses.dataclass(frozen=True)
class Request:
    """A request with a number for a name."""

    number: int
    num_rows: int = 1
    joins: bool = True


class Scorer:
    """A scorer that answers twice the number, once its gate is open."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()

    def score(self, requests):
        """Notes the batch, waits, and scores it."""
        with self._lock:
            self.batches.append([request.number for request in requests])
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.gate.wait(20)
        with self._lock:
            self.running -= 1
        return [
            ValueError(f"no {one.number}") if one.number < 0 else 2 * one.number for one in requests
        ]


async def begun(scorer, count):
    """Waits until so many batches have begun."""
    while len(scorer.batches) < count:
        await asyncio.sleep(0.001)


def run(test, **options):
    """Runs a coroutine function of a batcher and a scorer."""

    async def main():
        scorer = Scorer()
        async with Batcher(**{"threads": 1, "max_rows": 10, **options}) as batcher:
            try:
                return await asyncio.wait_for(test(batcher, scorer), 20)
            finally:
                scorer.gate.set()

    return asyncio.run(main())


def score_all(batcher, scorer, requests):
    return [asyncio.create_task(batcher.score(scorer, request)) for request in requests]


def test_what_waits_is_scored_together():
    async def test(batcher, scorer):
        tasks = score_all(batcher, scorer, [Request(1)])
        await begun(scorer, 1)
        tasks += score_all(batcher, scorer, [Request(number) for number in range(2, 8)])
        await asyncio.sleep(0)
        scorer.gate.set()
        assert await asyncio.gather(*tasks) == [2 * number for number in range(1, 8)]
        assert scorer.batches == [[1], [2, 3, 4, 5, 6, 7]]

    seen = []
    run(test, observe=seen.append)
    assert seen == [1, 6]


def test_batches_are_not_larger_than_told():
    async def test(batcher, scorer):
        requests = [Request(0), *(Request(number, num_rows=4) for number in range(1, 6))]
        requests += [Request(6, num_rows=2), Request(7, num_rows=99)]
        tasks = score_all(batcher, scorer, requests[:1])
        await begun(scorer, 1)
        tasks += score_all(batcher, scorer, requests[1:])
        await asyncio.sleep(0)
        scorer.gate.set()
        await asyncio.gather(*tasks)
        assert scorer.batches == [[0], [1, 2, 6], [3, 4], [5], [7]]

    run(test)


def test_only_what_joins_is_joined():
    async def test(batcher, scorer):
        other = Scorer()
        other.gate.set()
        tasks = score_all(batcher, scorer, [Request(0)])
        await begun(scorer, 1)
        tasks += score_all(batcher, scorer, [Request(1), Request(2, joins=False)])
        tasks += score_all(batcher, other, [Request(3)])
        tasks += score_all(batcher, scorer, [Request(4, joins=False), Request(5)])
        await asyncio.sleep(0)
        scorer.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6, 8, 10]
        assert scorer.batches == [[0], [1, 5], [2], [4]] and other.batches == [[3]]

    run(test)


def test_threads_score_at_the_same_time():
    async def test(batcher, scorer):
        tasks = score_all(batcher, scorer, [Request(n, joins=False) for n in range(4)])
        await begun(scorer, 3)
        await asyncio.sleep(0.01)
        assert scorer.most == len(scorer.batches) == 3
        scorer.gate.set()
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6]

    run(test, threads=3)


def test_a_free_thread_waits_for_more_where_told():
    async def test(batcher, scorer):
        scorer.gate.set()
        first = score_all(batcher, scorer, [Request(1)])
        await asyncio.sleep(0.02)
        assert scorer.batches == []
        tasks = first + score_all(batcher, scorer, [Request(2, num_rows=9)])
        started = time.monotonic()
        assert await asyncio.gather(*tasks) == [2, 4]
        assert time.monotonic() - started < 4  # a full batch does not wait
        assert await batcher.score(scorer, Request(3, joins=False)) == 6
        assert time.monotonic() - started < 4
        assert scorer.batches == [[1, 2], [3]]

    run(test, max_wait=5.0)


def test_nobody_waits_longer_than_told():
    async def test(batcher, scorer):
        scorer.gate.set()
        assert await batcher.score(scorer, Request(1)) == 2

    run(test, max_wait=0.01)


def test_what_nobody_waits_for_is_left_out():
    async def test(batcher, scorer):
        (first,) = score_all(batcher, scorer, [Request(0)])
        await begun(scorer, 1)
        tasks = score_all(batcher, scorer, [Request(1), Request(2), Request(3, joins=False)])
        await asyncio.sleep(0)
        for task in (first, tasks[0], tasks[2]):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        scorer.gate.set()
        assert await tasks[1] == 4
        assert scorer.batches == [[0], [2]]

    run(test)


def test_a_mistake_is_that_of_one_request():
    async def test(batcher, scorer):
        scorer.gate.set()
        tasks = score_all(batcher, scorer, [Request(1), Request(-2), Request(3)])
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[0] == 2 and found[2] == 6
        with pytest.raises(ValueError, match="no -2"):
            raise found[1]

    run(test)


def test_a_failure_is_that_of_its_batch_alone():
    async def test(batcher, scorer):
        class Broken:
            def score(self, requests):
                raise MemoryError("too much")

        with pytest.raises(MemoryError, match="too much"):
            await batcher.score(Broken(), Request(1))
        scorer.gate.set()
        assert await batcher.score(scorer, Request(1)) == 2

    run(test)


def test_it_lives_while_each_thread_gets_batches():
    counted = []

    def observe(count):
        counted.append(count)
        if len(counted) > 1:
            raise RuntimeError("a bug")

    async def main():
        scorer, batcher = Scorer(), Batcher(threads=2, max_rows=10, observe=observe)
        scorer.gate.set()
        assert not batcher.is_alive
        async with batcher:
            assert batcher.is_alive
            assert await batcher.score(scorer, Request(3)) == 6 and batcher.is_alive
            with pytest.raises(TimeoutError, match="^$"):
                async with asyncio.timeout(0.05):
                    await batcher.score(scorer, Request(4))
            assert not batcher.is_alive

    asyncio.run(main())
