import json

import pytest

from lmn_tf.serving.server.request import RequestError, read_request

DEEP = b'{"rows": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def refused(body, max_rows=10):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RequestError, match="must") as caught:
        read_request(body, max_rows)
    return caught.value.status, str(caught.value)


@pytest.mark.parametrize(
    ("document", "count", "joins"),
    [
        ({"rows": [{"a": 1}, {"a": None}]}, 2, True),
        ({"rows": {"a": [1, 2], "b": [[], [3]]}}, 2, True),
        ({"rows": []}, 0, True),
        ({"rows": {}}, 0, True),
        ({"user": {"u": 1}, "candidates": [{"a": 1}]}, 1, False),
        ({"user": {}, "candidates": {"a": [1, 2, 3]}}, 3, False),
    ],
)
def test_forms_of_requests(document, count, joins):
    found = read_request(json.dumps(document).encode(), max_rows=3)
    assert (found.num_rows, found.joins) == (count, joins)
    for name in ("rows", "user", "candidates"):
        assert getattr(found, name) == document.get(name)


@pytest.mark.parametrize(
    ("document", "columns"),
    [
        ({"rows": []}, ""),
        ({"rows": [{"a": 1}, {"b": None, "c": 1}]}, "abc"),
        ({"rows": {"a": [1, 2], "b": [[], [3]]}}, "ab"),
        ({"user": {"u": 1}, "candidates": [{"a": 1}, {"b": 1}]}, "uab"),
        ({"user": {}, "candidates": {"a": [1]}}, "a"),
    ],
)
def test_columns_of_all_rows_and_both_sides(document, columns):
    assert read_request(json.dumps(document).encode(), max_rows=3).columns == {*columns}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body must be JSON. Received: Expecting value"),
        (b'{"rows": [', "the body must be JSON. Received: Expecting value"),
        (b'{"rows": []} x', "the body must be JSON. Received: Extra data"),
        (b'{"rows": [{"a": NaN}]}', "Received: NaN, which is no number of JSON"),
        (b'{"rows": [{"a": -Infinity}]}', "Received: -Infinity, which is no number of JSON"),
        (b'{"rows": [{"a": ' + b"9" * 5000 + b"}]}", "the body must be JSON. Received: Exceeds"),
        (b'{"rows": "\xff"}', "the body must be UTF-8. Received: 'utf-8' codec can't decode"),
        ('{"rows": []}'.encode("utf-16"), "the body must be UTF-8"),
        (b"\xef\xbb\xbf{}", "the body must be JSON. Received: Unexpected UTF-8 BOM"),
        (DEEP, "the body must be JSON that is nested less deep"),
    ],
    ids=range(10),
)
def test_what_is_no_json(body, message):
    status, text = refused(body)
    assert status == 400 and text.startswith(message) or message in text


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([1], "the body must be an object. Received: [1]"),
        (None, "the body must be an object. Received: None"),
        ({}, "the body must have `rows`, or `user` and `candidates`. Received: []."),
        ({"row": []}, "Received: ['row']. Did you mean `rows`?"),
        ({"user": {}, "candidate": []}, "Did you mean `candidates`?"),
        ({"rows": [], "user": {}}, "the body must have `rows`, or `user` and `candidates`."),
        (
            {"rows": "/etc/*"},
            "`rows` must be a list of objects, or an object of lists. Received: '",
        ),
        ({"rows": 3}, "`rows` must be a list of objects"),
        ({"rows": [{}, 3]}, "`rows`: row 2 must be an object. Received: 3"),
        ({"rows": {"a": [1], "b": "x"}}, "`rows`: column `b` must be a list. Received: 'x'"),
        ({"user": [], "candidates": []}, "`user` must be an object. Received: []"),
        ({"user": {}, "candidates": None}, "`candidates` must be a list of objects"),
    ],
)
def test_what_is_no_request(document, message):
    status, text = refused(document)
    assert status == 422 and message in text


@pytest.mark.parametrize("rows", [[{}] * 11, {"a": [0] * 11, "b": []}])
def test_too_many_rows(rows):
    assert refused({"rows": rows}) == (413, "`rows` must be 10 at most. Received: 11")
    assert refused({"user": {}, "candidates": rows})[0] == 413
