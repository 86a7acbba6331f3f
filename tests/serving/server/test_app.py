import http.client
import json
import socket
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest
from http_server import Client, client_of, served
from tiny_run import exported, market

from lmn_tf.serving.scorer import Scorer
from lmn_tf.serving.server.app import create_app
from lmn_tf.serving.server.export_folder import ExportFolder
from lmn_tf.serving.server.metrics import Metrics
from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.serving.server.served_export import ServedExport

OF_ITEM = ("item_id", "category", "price")
OPTIONS = ServerOptions(threads=2, max_rows=200, max_body_kib=200, poll=0.02, timeout=20.0)


@pytest.fixture(scope="module")
def rows():
    path = sorted(market().glob("test-*.parquet"))[0]
    return pq.read_table(path).slice(0, 40).drop_columns(["click"]).to_pylist()


@pytest.fixture(scope="module")
def client():
    metrics = Metrics()
    folder = ExportFolder(exported(), lambda path: ServedExport(path, OPTIONS), metrics)
    with client_of(create_app(folder, OPTIONS, metrics)) as client:
        yield client


@pytest.fixture(scope="module")
def want(rows):
    return Scorer(exported()).score(rows)["click"]


def of_user(row):
    return {key: value for key, value in row.items() if key not in OF_ITEM}


def test_rows_are_scored(client, rows, want):
    answer = client.score({"rows": rows})
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.headers["model-export"] == "export"
    np.testing.assert_allclose(answer.json["scores"]["click"], want, atol=1e-6)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    np.testing.assert_allclose(
        client.score({"rows": columns}).json["scores"]["click"], want, atol=1e-6
    )


def test_candidates_are_scored(client, rows):
    user = of_user(rows[0])
    candidates = [{key: row[key] for key in OF_ITEM} for row in rows]
    want = Scorer(exported()).score_candidates(user, candidates)["click"]
    answer = client.score({"user": user, "candidates": candidates})
    np.testing.assert_allclose(answer.json["scores"]["click"], want, atol=1e-6)


def test_values_may_be_missing(client, rows):
    row = {**dict.fromkeys(rows[0]), "price": 2.5}
    answer = client.score({"rows": [row, {**rows[0], "segment": None}]})
    assert answer.status == 200 and len(answer.json["scores"]["click"]) == 2


def test_nothing_is_scored_where_nothing_is_asked(client, rows):
    assert client.score({"rows": []}).json == {"scores": {"click": []}}
    assert client.score({"user": of_user(rows[0]), "candidates": []}).json["scores"]["click"] == []


def test_many_clients_get_their_own_scores(client, rows, want):
    port = client._connection.port

    def ask(number):
        some = [(number + step) % len(rows) for step in range(1 + number % 5)]
        one = Client(port)
        found = one.score({"rows": [rows[at] for at in some]}).json["scores"]["click"]
        one.close()
        return np.abs(np.array(found) - want[some]).max()

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(ask, range(100))) < 1e-6


def changed(row, **values):
    return {"rows": [row, {**row, **values}]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"price": None}, "column `price`, row 2"),
        ({"price": "cheap"}, "column `price`"),
        ({"price": [1.0]}, "column `price`"),
        ({"price": {"a": 1}}, "column `price`"),
        ({"price": 10**400}, "column `price`"),
        ({"price": -1e9}, "column `price`, row 2"),
        ({"time": 1e300}, "column `time`, row 2"),
        ({"time": "today"}, "column `time`"),
        ({"time": 0}, "column `history_time`, row 2"),
        ({"item_id": 1.5}, "column `item_id`"),
        ({"item_id": [3]}, "column `item_id`"),
        ({"item_id": {}}, "column `item_id`"),
        ({"item_id": "\ud800"}, "column `item_id`"),
        ({"history_item_id": 3}, "column `history_item_id`"),
        ({"history_item_id": [[3]]}, "column `history_item_id`"),
        ({"history_item_id": [1] * 400}, "as that of `history_item_id`"),
        ({"history_time": ["a"]}, "column `history_time`"),
        ({"hour": -1.5}, "column `hour`, row 2"),
    ],
    ids=str,
)
def test_a_value_that_breaks_a_rule_is_named(client, rows, values, message):
    answer = client.score(changed(rows[0], **values))
    assert answer.status == 422 and message in answer.json["error"]
    assert answer.headers["model-export"] == "export"


def test_a_missing_column_is_named_with_the_nearest_one(client, rows):
    row = {**rows[0], "pirce": 3.0}
    del row["price"]
    answer = client.score({"rows": [row]})
    told = "`rows` must have the column `price` in each row"
    assert answer.status == 422 and told in answer.json["error"]
    assert answer.json["error"].endswith("Did you mean `pirce`?")
    answer = client.score({"user": of_user(row), "candidates": [{"item_id": 3, "category": 1}]})
    assert answer.status == 422 and "must have the column `price`" in answer.json["error"]


def nested(depth):
    return b'{"rows": [{"item_id": ' + b"[" * depth + b"]" * depth + b"}]}"


@pytest.mark.parametrize("depth", [3, 100, 500, 900, 980, 100_000])
def test_deep_values_do_no_harm(client, rows, depth):
    assert 400 <= client.score(nested(depth)).status < 423
    for plain in ([], rows[1:2]):
        text = json.dumps({"rows": [{**rows[0], "item_id": 0}, *plain]}).encode()
        deep = text.replace(b'"item_id": 0', b'"item_id": ' + b"[" * depth + b"]" * depth)
        assert 400 <= client.score(deep).status < 423
    assert client.score({"rows": rows[:1]}).status == 200


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"{", {}),
        (400, b'{"rows": "\xff"}', {}),
        (400, b"", {}),
        (413, b" " * 300_000, {}),
        (413, json.dumps({"rows": [{}] * 201}).encode(), {}),
        (415, b"{}", {"Content-Type": "text/plain"}),
        (415, b"{}", {"Content-Type": ""}),
        (415, b"{}", {"Content-Encoding": "gzip"}),
        (422, b"{}", {"Content-Type": "Application/JSON; charset=utf-8"}),
    ],
)
def test_what_is_no_request_is_refused(client, status, body, headers):
    answer = client.score(body, **headers)
    assert answer.status == status and answer.json["error"]
    assert answer.headers["model-export"] == "export"


def test_a_body_without_a_length_is_limited(client):
    port = client._connection.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", "/v1/score")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    try:
        for _ in range(30):
            connection.send(b"2710\r\n" + b" " * 10_000 + b"\r\n")
        status = connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        status = 413  # the server has closed the connection
    connection.close()
    assert status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/score", 405), ("GET", "/v2", 404), ("DELETE", "/v1/model", 405)],
)
def test_other_paths_and_methods(client, method, path, status):
    answer = client.send(method, path)
    assert answer.status == status and answer.json["error"]


def test_the_model_is_described(client):
    found = client.get("/v1/model").json
    assert found["export"] == "export" and found["labels"] == ["click"]
    assert found["columns"]["item_id"] == {"kind": "categorical", "role": "item"}
    assert found["limits"] == {"max_rows": 200, "max_body_kib": 200}


def test_health_and_metrics(client, rows):
    assert ready(client) == (200, {"status": "ok"})
    client.score({"rows": rows[:2]})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    text = answer.body.decode()
    assert 'lmn_tf_requests_total{status="200"}' in text
    assert 'lmn_tf_model_info{export="export"' in text and "lmn_tf_pending_requests 0.0" in text


def test_unknown_ids_and_unread_columns_are_told_and_counted(client, rows):
    told = client.score({"rows": [{**rows[0], "item_id": "?", "color": 3}] * 2}).json
    assert told["unknown_ids"] == {"item_id": 2} and told["unread_columns"] == ["color"]
    text = client.get("/metrics").body.decode()
    assert 'lmn_tf_unknown_ids_total{column="item_id"}' in text and "color" not in text


class Fake:
    """An export whose scores are its number, once its gate is open."""

    def __init__(self, number=1):
        self.name = str(number)
        self.headers = [(b"model-export", self.name.encode())]
        self.gate = threading.Event()
        self.begun = threading.Event()

    def score(self, requests):
        self.begun.set()
        assert self.gate.wait(20)
        if requests[0].num_rows == 3:
            raise RuntimeError("out of order")
        return [{"scores": {"click": [float(self.name)] * one.num_rows}} for one in requests]


class Folder(types.SimpleNamespace):
    """A folder whose export does not change by itself."""

    async def watch(self, seconds):
        """Does nothing."""


@pytest.fixture
def busy():
    """An export, its folder, and the port of a server with two places and little patience."""
    options = ServerOptions(threads=1, max_pending=2, timeout=0.5, max_body_kib=10)
    folder = Folder(current=Fake())
    with served(create_app(folder, options, Metrics())) as port:
        try:
            yield folder, port
        finally:
            folder.current.gate.set()


def ready(client):
    answer = client.get("/ready")
    assert client.get("/health").json == {"status": "ok"}
    return answer.status, answer.json


def test_a_server_that_stops_is_not_ready():
    stopping = []
    options = ServerOptions(threads=1)
    app = create_app(Folder(current=Fake()), options, Metrics(), lambda: bool(stopping))
    with client_of(app) as client:
        assert ready(client) == (200, {"status": "ok"})
        stopping.append(True)
        assert ready(client) == (503, {"error": "the server is stopping."})


def test_a_server_without_a_thread_that_scores_is_not_ready():
    def broken(count):
        raise MemoryError

    metrics, options = Metrics(), ServerOptions(threads=1, timeout=0.1)
    metrics.batches.observe = broken
    with client_of(create_app(Folder(current=Fake()), options, metrics)) as client:
        assert ready(client) == (200, {"status": "ok"})
        assert client.score({"rows": [{}]}).status == 504
        gone = "a thread that scores is gone: restart the server."
        assert ready(client) == (503, {"error": gone})


def in_thread(port, document):
    """Sends a request in a thread; its answer is the result."""
    client, pool = Client(port), ThreadPoolExecutor(1)
    future = pool.submit(client.score, document)
    future.add_done_callback(lambda _: client.close())
    pool.shutdown(wait=False)
    return future


def test_more_than_fits_is_refused_at_once(busy):
    folder, port = busy
    first = in_thread(port, {"user": {}, "candidates": [{}]})
    assert folder.current.begun.wait(20)
    second = in_thread(port, {"rows": [{}]})
    client = Client(port)
    while b"lmn_tf_pending_requests 2.0" not in client.get("/metrics").body:
        time.sleep(0.005)
    started = time.monotonic()
    answer = client.score({"rows": [{}]})
    assert time.monotonic() - started < 0.4
    assert answer.status == 503 and answer.headers["retry-after"] == "1"
    assert answer.json == {"error": "the server is busy: come back later."}
    with half_a_request(port, 100) as connection:
        assert connection.recv(12) == b"HTTP/1.1 503"  # before its body is there
    assert client.get("/health").status == 200
    folder.current.gate.set()
    for future in (first, second):
        assert future.result().json == {"scores": {"click": [1.0]}}
    assert client.score({"rows": [{}]}).status == 200
    client.close()


def test_what_takes_too_long_is_given_up(busy):
    folder, port = busy
    client = Client(port)
    answer = client.score({"rows": [{}]})
    assert answer.status == 504 and answer.headers["retry-after"] == "1"
    assert answer.json == {"error": "the answer must be ready within 0.5 seconds."}
    folder.current.gate.set()
    assert client.score({"rows": [{}]}).status == 200
    client.close()


def test_a_body_that_does_not_arrive_is_given_up(busy):
    _, port = busy
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest("POST", "/v1/score")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")
    answer = connection.getresponse()
    assert answer.status == 408
    assert json.loads(answer.read()) == {"error": "the body must arrive within 0.5 seconds."}
    connection.close()


def half_a_request(port, size):
    """A connection that has sent all but the end of a request with a body of some size."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
    connection.sendall(b" " * (size - 1))
    return connection


def test_bodies_are_limited_together(busy):
    _, port = busy
    connections = [half_a_request(port, 10_240) for _ in range(17)]
    statuses = []
    for connection in connections:
        with connection:
            statuses.append(int(connection.recv(12)[9:]))
    assert sorted(statuses) == 16 * [408] + [503]


def test_a_client_that_goes_away_is_no_failure(busy):
    _, port = busy
    half_a_request(port, 100).close()
    client = Client(port)
    while b'lmn_tf_requests_total{status="400"} 1.0' not in client.get("/metrics").body:
        time.sleep(0.005)
    client.close()


def test_a_failure_of_the_server_is_told_as_such(busy, caplog):
    folder, port = busy
    folder.current.gate.set()
    client = Client(port)
    answer = client.score({"rows": [{}] * 3})
    told = "the request must be scored, but the server failed: see its log."
    assert answer.status == 500 and answer.json == {"error": told}
    assert "out of order" in caplog.text
    assert client.score({"rows": [{}]}).status == 200
    client.close()


def test_a_new_export_takes_over_between_two_requests(busy):
    folder, port = busy
    old, new = folder.current, Fake(2)
    new.gate.set()
    first = in_thread(port, {"rows": [{}]})
    assert old.begun.wait(20)
    folder.current = new
    client = Client(port)
    old.gate.set()
    answer = client.score({"rows": [{}]})
    assert answer.headers["model-export"] == "2"
    assert answer.json == {"scores": {"click": [2.0]}}
    assert first.result().headers["model-export"] == "1"
    assert first.result().json == {"scores": {"click": [1.0]}}
    client.close()
