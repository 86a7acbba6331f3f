import pytest

from lmn_tf.distribute.tables.exchange_cost import choose_exchange, exchange_bytes


@pytest.mark.parametrize(("width", "times"), [(32, 3), (64, 5)])
def test_sums_move_several_times_fewer_bytes_than_rows(width, times):
    shapes = {"shards": 4, "queries": 100, "hits": 32, "width": width}
    assert exchange_bytes("rows", **shapes) >= times * exchange_bytes("sums", **shapes)


def test_one_shard_moves_nothing():
    shapes = {"shards": 1, "queries": 100, "hits": 32, "width": 8}
    assert exchange_bytes("rows", **shapes) == exchange_bytes("sums", **shapes) == 0


def test_rows_are_sent_once_each():
    shapes = {"shards": 4, "hits": 32, "width": 32}
    whole = exchange_bytes("rows", queries=10**6, num_rows=1000, **shapes)
    assert whole == exchange_bytes("rows", queries=2 * 10**6, num_rows=1000, **shapes)
    assert choose_exchange(num_rows=1000, queries=10**6, **shapes) == "rows"
    assert choose_exchange(num_rows=10**9, queries=10**6, **shapes) == "sums"


@pytest.mark.parametrize(
    ("shards", "hits", "want"), [(2, 1, "rows"), (4, 3, "rows"), (4, 8, "sums"), (64, 32, "rows")]
)
def test_few_rows_a_query_are_sent_as_rows(shards, hits, want):
    assert choose_exchange(shards=shards, hits=hits, width=32, num_rows=10**8) == want
