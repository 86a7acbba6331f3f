"""Load on a server: requests arrive, at the rate asked for, and their times are told."""

import json

import pytest
from http_server import served
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from workload.http_load import Sample, at_rate, figures, in_turn, whole_request

BODIES = [json.dumps(number).encode() for number in range(3)]


@pytest.fixture(scope="module")
def port():
    """A server that answers a number with it, and 2 with 503."""

    async def score(request):
        number = await request.json()
        return JSONResponse(number, 503 if number == 2 else 200)

    with served(Starlette(routes=[Route("/v1/score", score, methods=["POST"])])) as port:
        yield port


def check(samples):
    assert {sample.index for sample in samples} == {0, 1, 2}
    for sample in samples:
        assert json.loads(sample.body) == sample.index and 0 < sample.seconds < 5
        assert sample.status == (503 if sample.index == 2 else 200)


def test_requests_in_turn(port):
    samples = in_turn(port, BODIES, clients=2, seconds=60, limit=30)
    check(samples)
    assert 30 <= len(samples) <= 31


def test_requests_at_a_rate(port):
    samples = at_rate(port, BODIES, rate=200, seconds=0.3, most=5)
    check(samples)
    assert len(samples) == 60


def test_whole_requests_and_broken_connections(port):
    (one,) = in_turn(port, [whole_request(b"1", "text/plain")], 1, 60, limit=1)
    assert (one.status, one.body) == (200, b"1")
    (one,) = in_turn(port + 1, BODIES, 1, 60, limit=1)
    assert one.status == 0


def test_figures():
    samples = [Sample(0, 200, 0.001 * step, b"") for step in range(1, 101)]
    samples += [Sample(0, 503, 0.002, b""), Sample(0, 400, 9.0, b"")]
    assert figures(samples, seconds=2.0) == {
        "scored/s": 50.0,
        "refused/s": 0.5,
        "other answers": 1,
        "p50 ms": pytest.approx(51),
        "p99 ms": pytest.approx(100),
        "refused p99 ms": 2.0,
    }
    assert figures([], 1.0)["p50 ms"] == ""
