"""Communication cost of reading a table that is sharded over replicas."""

EXCHANGES = ("rows", "sums")

_WORD = 4  # bytes of an id, a weight, a count and an element alike


def exchange_bytes(
    exchange: str, *, shards: int, queries: int, hits: int, width: int, num_rows: int | None = None
) -> float:
    """Returns the bytes sent between replicas in a step, forward and backward.

    With `R` shards, `K` rows of `d` elements per query, and `away = (R - 1) / R`, the share of rows
    on other replicas:

    - `"rows"` sends ids to the shards, rows back and gradients to the shards: `away * (4 + 8 * d)`
      bytes per row. A row is sent once, however many queries of a replica read it, so at most
      `num_rows` rows are sent.
    - `"sums"` sends ids, weights and a count per query to the shards, one sum per shard back,
      its gradient to the shard, and the gradients of the weights back: `away * 12 * K + (R - 1) *
      (4 + 8 * d)` bytes per query.

    Args:
        exchange: `"rows"` or `"sums"`.
        shards: Integer. Number of replicas that hold a part of the table.
        queries: Integer. Number of queries of one replica.
        hits: Integer. Number of rows that each query reads.
        width: Integer. Number of elements of a row.
        num_rows: Integer, or `None` for more than all queries read. Number of rows of the table.
            Defaults to `None`.

    Returns:
        Float: bytes for the queries of one replica, for rows spread evenly over shards.

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


def choose_exchange(
    *, shards: int, hits: int, width: int, num_rows: int, queries: int | None = None
) -> str:
    """Returns the exchange that moves fewer bytes: `"rows"` or `"sums"`.

    Args:
        shards: Integer. Number of replicas that hold a part of the table.
        hits: Integer. Number of rows that each query reads.
        width: Integer. Number of elements of a row.
        num_rows: Integer. Number of rows of the table.
        queries: Integer, or `None` if unknown, which assumes that no row is read twice. Number of
            queries of one replica. Defaults to `None`.

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
