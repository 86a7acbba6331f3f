"""Load on a server of this machine: requests at a rate, or one after another."""

import asyncio
import time
from typing import NamedTuple

_PATH = "/v1/score"


class Sample(NamedTuple):
    """An answer.

    Args:
        index: Integer. Which of the bodies was sent.
        status: Integer. Status code; 0 where the connection broke.
        seconds: Float. From the moment when the request was due to the end of the answer.
        body: Bytes of the answer.
    """

    index: int
    status: int
    seconds: float
    body: bytes


def in_turn(port, bodies, clients, seconds, limit=None):
    """Sends requests from several clients, each of which waits for its answer.

    Args:
        port: Integer. Port of the server.
        bodies: List of bytes, sent in turn: JSON, or whole requests.
        clients: Integer. Number of clients.
        seconds: Float. Time after which no request is sent.
        limit: Integer. Number of requests after which none is sent. Defaults to `None`.

    Returns:
        List of `Sample`.
    """

    async def main():
        until, samples, count = time.perf_counter() + seconds, [], 0

        async def client():
            nonlocal count
            connection = _Connection(port)
            while time.perf_counter() < until and (limit is None or count < limit):
                index, count = count % len(bodies), count + 1
                samples.append(await connection.ask(index, bodies[index], time.perf_counter()))
            connection.close()

        await asyncio.gather(*(client() for _ in range(clients)))
        return samples

    return asyncio.run(main())


def at_rate(port, bodies, rate, seconds, most=200):
    """Sends requests at a rate, whether or not earlier ones were answered.

    Args:
        port: Integer. Port of the server.
        bodies: List of bytes, sent in turn.
        rate: Float. Requests a second.
        seconds: Float. How long.
        most: Integer. Most connections. A request for which none is free is sent when one is; its
            time begins when it was due. Defaults to `200`.

    Returns:
        List of `Sample`.
    """

    async def main():
        started, samples, tasks = time.perf_counter(), [], set()
        free = [_Connection(port) for _ in range(most)]
        places = asyncio.Semaphore(most)

        async def one(index, due):
            async with places:
                connection = free.pop()
                samples.append(await connection.ask(index, bodies[index], due))
                free.append(connection)

        for number in range(int(rate * seconds)):
            due = started + number / rate
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            task = asyncio.create_task(one(number % len(bodies), due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        for connection in free:
            connection.close()
        return samples

    return asyncio.run(main())


class _Connection:
    def __init__(self, port):
        self._port = port
        self._reader = self._writer = None

    async def ask(self, index, body, due):
        """Sends a request and reads the answer."""
        try:
            if self._writer is None or self._writer.is_closing():
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writer.write(body if body.startswith(b"POST ") else whole_request(body))
            head = await self._reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:-2])
            answer = await self._reader.readexactly(int(fields.get(b"content-length", 0)))
            status = int(head.split(b" ", 2)[1])
            if fields.get(b"connection") == b"close":
                self.close()
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            status, answer = 0, b""
        return Sample(index, status, time.perf_counter() - due, answer)

    def close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def whole_request(body, kind="application/json"):
    """Returns the bytes of a request for scores.

    Args:
        body: Bytes of the body.
        kind: String. Type of the content. Defaults to `"application/json"`.
    """
    head = f"POST {_PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def figures(samples, seconds):
    """Returns the rates of answers and the times of those with scores, as facts of a table.

    Args:
        samples: List of `Sample`.
        seconds: Float. How long requests were sent.
    """
    scored = sorted(1000 * sample.seconds for sample in samples if sample.status == 200)
    refused = sorted(1000 * sample.seconds for sample in samples if sample.status == 503)
    return {
        "scored/s": len(scored) / seconds,
        "refused/s": len(refused) / seconds,
        "other answers": len(samples) - len(scored) - len(refused),
        "p50 ms": _percentile(scored, 50),
        "p99 ms": _percentile(scored, 99),
        "refused p99 ms": _percentile(refused, 99),
    }


def _percentile(ordered, percent):
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else ""
