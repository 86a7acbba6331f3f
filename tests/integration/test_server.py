"""The server as a process: under load, hostile requests, reloads and signals."""

import contextlib
import json
import random
import re
import shutil
import signal
import socket
import sys
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from http_server import Client
from launched import ROOT, Launched
from tiny_run import exported, market

from lmn_tf.serving.scorer import Scorer

sys.path.insert(0, str(ROOT / "pipelines" / "benchmarks"))

from workload.http_load import at_rate, figures, in_turn, whole_request  # noqa: E402

pytestmark = pytest.mark.slow
OF_ITEM = ("item_id", "category", "price")


@pytest.fixture(scope="module")
def rows():
    path = sorted(market().glob("test-*.parquet"))[0]
    return pq.read_table(path).slice(0, 200).drop_columns(["click"]).to_pylist()


@contextlib.contextmanager
def process(folder, *options):
    """Runs the server, and gives the process and its port."""
    with Launched(folder, "--port", 0, *options, command="serve") as launched:
        found = launched.wait_for(r"Serving `.*` at http://127\.0\.0\.1:(\d+)")
        yield launched, int(found[1])


def memory_mib(client):
    text = client.get("/metrics").body.decode()
    return float(re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)[1]) / 2**20


def requests_of(rows):
    """Bodies of requests of both kinds, and the scores that they must get."""
    scorer, bodies, want = Scorer(exported()), [], []
    for at in range(0, len(rows), 10):
        some = rows[at : at + 10]
        user = {key: value for key, value in some[0].items() if key not in OF_ITEM}
        candidates = [{key: row[key] for key in OF_ITEM} for row in rows[:100]]
        bodies += [{"rows": some}, {"user": user, "candidates": candidates}]
        want += [scorer.score(some)["click"], scorer.score_candidates(user, candidates)["click"]]
    return [json.dumps(body).encode() for body in bodies], want


def wrong(samples, want):
    """How many scores differ from those that they must be."""
    return sum(
        np.abs(np.array(json.loads(sample.body)["scores"]["click"]) - want[sample.index]).max()
        > 1e-6
        for sample in samples
        if sample.status == 200
    )


def test_twice_the_load_that_it_can_bear(rows):
    bodies, want = requests_of(rows)
    with process(exported()) as (launched, port):
        in_turn(port, bodies, 8, 2)
        capacity = len(in_turn(port, bodies, 8, 5)) / 5
        under = at_rate(port, bodies, 0.5 * capacity, 10)
        over = at_rate(port, bodies, 2 * capacity, 60)
        after = at_rate(port, bodies, 0.5 * capacity, 10)
        for name, samples, seconds in (
            ("half", under, 10),
            ("twice", over, 60),
            ("half", after, 10),
        ):
            print(f"{name} of {capacity:.0f}/s:", figures(samples, seconds))
            assert wrong(samples, want) == 0
            assert {sample.status for sample in samples} <= {200, 503}
        # The client takes its part of the machine, so that some requests may be refused.
        assert np.mean([sample.status == 200 for sample in under]) > 0.99
        assert np.mean([sample.status == 200 for sample in after]) > 0.99
        scored = sum(sample.status == 200 for sample in over) / 60
        assert scored > 0.3 * capacity and len(over) > 1.9 * 60 * capacity
        assert launched.process.poll() is None


def test_hostile_requests(rows):
    """100,000 of them: none makes the server fail, or grow."""
    make = Hostile(rows)
    with process(exported()) as (launched, port), contextlib.closing(Client(port)) as client:
        grown, counts = [], {}
        for _ in range(20):
            bodies = [make() for _ in range(5_000)]
            for sample in in_turn(port, bodies, 4, 600, limit=len(bodies)):
                counts[sample.status] = counts.get(sample.status, 0) + 1
                if sample.status >= 500:
                    raise AssertionError((bodies[sample.index][:2000], sample.body))
            grown.append(round(memory_mib(client)))
            print(grown[-1], counts, flush=True)
        print("answers:", counts, "MiB:", grown)
        assert sum(counts.values()) == 100_000 and counts.get(0, 0) < 1_000
        assert grown[-1] - grown[1] < 30
        assert client.score({"rows": rows[:3]}).status == 200
        assert launched.process.poll() is None


class Hostile:
    """Makes requests that are wrong in some way, the same ones in every run."""

    odd = (
        None, True, -1, 0, 1.5, 10**30, -(10**30), 1e400, -1e308, "", "\ud800", "\0", "x" * 1000,
        [], {}, [[]], [None], [[[1]]], {"a": {"b": 1}}, "/etc/passwd", "../..", "{{7*7}}",
        [0] * 5000, ["x"] * 100, "🦊" * 50, "9" * 400, "NaN", "-inf", "1e5", float("nan"),
    )  # fmt: skip

    def __init__(self, rows):
        self._random, self._rows = random.Random(7), rows

    def __call__(self):
        """Returns the bytes of the next request."""
        pick = self._random.random()
        if pick < 0.5:
            return whole_request(self._odd_values())
        if pick < 0.7:
            return whole_request(self._broken_bytes())
        if pick < 0.8:
            return whole_request(self._odd_shape())
        if pick < 0.9:
            kind = self._random.choice(["text/plain", "application/xml", "", "multipart/form-data"])
            return whole_request(b"{}", kind)
        return whole_request(self._random.randbytes(self._random.randrange(500)))

    def _document(self):
        row = self._random.choice(self._rows)
        if self._random.random() < 0.5:
            return {"rows": [dict(row), dict(row)]}
        user = {key: value for key, value in row.items() if key not in OF_ITEM}
        return {"user": user, "candidates": [{key: row[key] for key in OF_ITEM}]}

    def _odd_values(self):
        document = self._document()
        part = document.get("user") or self._random.choice(document["rows"])
        if "candidates" in document and self._random.random() < 0.5:
            part = document["candidates"][0]
        for _ in range(self._random.randrange(1, 4)):
            key = self._random.choice(list(part) or ["a"])
            if self._random.random() < 0.2:
                part.pop(key, None)
            else:
                part[key] = self._random.choice(self.odd)
        return json.dumps(document, ensure_ascii=True).encode()

    def _broken_bytes(self):
        body = bytearray(json.dumps(self._document()).encode())
        if self._random.random() < 0.3:
            return bytes(body[: self._random.randrange(len(body))])
        for _ in range(self._random.randrange(1, 20)):
            body[self._random.randrange(len(body))] = self._random.randrange(256)
        return bytes(body)

    def _odd_shape(self):
        depth = self._random.choice([5, 500, 980, 20_000])
        shapes = [
            b"[" * depth,
            b"[" * depth + b"]" * depth,
            b'{"rows":' * depth,
            b'{"rows": [{"item_id": ' + b"[" * depth + b"]" * depth + b"}]}",
            b'{"rows": ' + b"9" * depth + b"}",
            json.dumps({"rows": self._random.choice(self.odd)}).encode(),
            json.dumps({"rows": [self._random.choice(self.odd)]}).encode(),
            json.dumps({"rows": {"item_id": self._random.choice(self.odd)}}).encode(),
            json.dumps({"user": self._random.choice(self.odd), "candidates": []}).encode(),
            b'{"rows": []' + b" " * (2**20) + b"}",
        ]
        return self._random.choice(shapes)


def test_what_is_no_http(rows):
    with process(exported()) as (launched, port), contextlib.closing(Client(port)) as client:
        parts = [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000, b"\r\n" * 999]
        parts += [b"POST /v1/score HTTP/1.1\r\nContent-Length: -5\r\n\r\n"]
        parts += [b"POST /v1/score HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\n"]
        parts += [b"POST /v1/score HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]
        parts += [b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n"]
        for part in 5 * parts:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(part)
                    connection.shutdown(socket.SHUT_WR)
                    assert not re.match(rb"HTTP/1.1 5", connection.recv(100))
        assert client.score({"rows": rows[:3]}).status == 200
        assert launched.process.poll() is None


def test_a_new_version_takes_over_without_a_lost_request(rows, tmp_path):
    bodies, want = requests_of(rows)
    shutil.copytree(exported(), tmp_path / "1")
    with process(tmp_path, "--poll", "0.2") as (launched, port):
        samples, stop = [], threading.Event()

        def load():
            while not stop.is_set():
                samples.extend(in_turn(port, bodies, 4, 1))

        thread = threading.Thread(target=load)
        thread.start()
        shutil.copytree(exported(), tmp_path / "part")
        (tmp_path / "part").rename(tmp_path / "2")
        launched.wait_for(r"loaded \S+/2 in ")
        broken = shutil.copytree(exported(), tmp_path / "broken")
        data = next(broken.glob("saved_model/variables/*.data*"))
        data.write_bytes(data.read_bytes()[:-1000])
        broken.rename(tmp_path / "3")
        launched.wait_for(r"refused \S+/3, `2` goes on: ")
        time.sleep(1)
        stop.set()
        thread.join()
        assert {sample.status for sample in samples} == {200} and len(samples) > 100
        assert wrong(samples, want) == 0
        with contextlib.closing(Client(port)) as client:
            assert client.get("/v1/model").json["export"] == "2"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_is_answered_before_the_end(rows, number):
    with process(exported(), "--batch-wait-ms", 1500) as (launched, port):
        answers = []

        def ask():
            with contextlib.closing(Client(port)) as client:
                answers.append(client.score({"rows": rows[:2]}))

        thread = threading.Thread(target=ask)
        thread.start()
        with contextlib.closing(Client(port)) as client:
            while b"lmn_tf_pending_requests 1.0" not in client.get("/metrics").body:
                time.sleep(0.01)
        launched.process.send_signal(number)
        thread.join()
        assert answers[0].status == 200 and len(answers[0].json["scores"]["click"]) == 2
        assert launched.wait() in (-signal.SIGTERM, 130)
        assert "Traceback" not in launched.text()
