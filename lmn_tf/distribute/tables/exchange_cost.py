"""How many bytes it takes to read a table split over replicas, and which way takes fewer."""

EXCHANGES = ("rows", "sums")

_WORD = 4  # bytes of an id, a weight, a count and an element alike


def exchange_bytes(exchange, *, shards, queries, hits, width, num_rows=None):
    """Returns how many bytes cross from replica to replica in a step, forward and backward.

    With `R` shards, `K` rows of `d` elements a query, and `away = (R - 1) / R`, the share of what
    lies on another replica:

    - `"rows"` sends ids there, rows back and their gradients there again: `away * (4 + 8 * d)`
      bytes a row. A row is sent once however many queries of a replica read it, so no more than
      all `num_rows` are.
    - `"sums"` sends ids and weights there, and a count of them for each query, gets one sum from
      each shard, sends it its gradient and gets those of the weights: `away * 12 * K + (R - 1) *
      (4 + 8 * d)` bytes a query.

    Args:
        exchange: `"rows"` or `"sums"`.
        shards: Integer. Replicas that hold a part of the table.
        queries: Integer. Queries of one replica.
        hits: Integer. Rows that each query reads.
        width: Integer. Elements of a row.
        num_rows: Integer, or `None` for more than all queries read. Rows of the table. Defaults
            to `None`.

    Returns:
        Float: bytes for the queries of one replica, if rows are spread evenly over shards.

    Example:

    >>> shapes = {"shards": 4, "queries": 1, "hits": 32, "width": 64}
    >>> exchange_bytes("rows", **shapes), exchange_bytes("sums", **shapes)
    (12384.0, 1836.0)
    """
    away = (shards - 1) / shards
    if exchange == "rows":
        rows = queries * hits if num_rows is None else min(queries * hits, num_rows)
        return away * rows * _WORD * (1 + 2 * width)
    of_hits = away * hits * _WORD * 3
    return queries * (of_hits + (shards - 1) * _WORD * (1 + 2 * width))


def choose_exchange(*, shards, hits, width, num_rows, queries=None):
    """Returns the exchange that moves fewer bytes: `"rows"` or `"sums"`.

    Args:
        shards: Integer. Replicas that hold a part of the table.
        hits: Integer. Rows that each query reads.
        width: Integer. Elements of a row.
        num_rows: Integer. Rows of the table.
        queries: Integer, or `None` where unknown: then no row counts as read twice. Queries of one
            replica. Defaults to `None`.

    Example:

    >>> choose_exchange(shards=4, hits=32, width=32, num_rows=10**6)
    'sums'
    >>> choose_exchange(shards=4, hits=2, width=32, num_rows=10**6)
    'rows'
    """
    shapes = {
        "shards": shards,
        "queries": queries or 1,
        "hits": hits,
        "width": width,
        "num_rows": num_rows if queries else None,
    }
    return min(EXCHANGES, key=lambda exchange: exchange_bytes(exchange, **shapes))
