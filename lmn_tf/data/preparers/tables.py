"""Table operations of several preparers."""

from collections.abc import Collection, Sequence

from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.plan import quoted
from lmn_tf.data.preparers.sources import Sources


def merge_repeats(sources: Sources) -> None:
    """Drops events that repeat another in every column, and counts them."""
    engine = sources.engine
    columns = ", ".join(quoted(name) for name in engine.columns("events") if name != "_seq")
    before = engine.value("SELECT count(*) FROM events")
    query = f"SELECT {columns}, min(_seq) AS _seq FROM events GROUP BY {columns}"
    engine.table("events", query)
    after = engine.value("SELECT count(*) FROM events")
    sources.drop("events that repeat another in every column", before - after)


def first_of_item(engine: Engine, columns: Sequence[str]) -> None:
    """Creates `items` from events, with the attributes of the first event of each item."""
    names = ", ".join(quoted(name) for name in columns)
    engine.table(
        "items",
        f"""
SELECT _item, {names}, _seq FROM (
  SELECT _item, {names}, _seq,
    row_number() OVER (PARTITION BY _item ORDER BY _time, _seq) AS _place
  FROM events
) AS placed WHERE _place = 1""",
    )


def infer_types(
    engine: Engine, table: str, columns: Sequence[str], ids: Collection[str] = ()
) -> None:
    """Converts text columns to integers or numbers, if no two values become equal.

    A text such as `007` is not an integer: as 7 it could be equal to another value. As numbers, the
    versions `1.10` and `1.1` would be equal, and so could two integers above 2^53.

    Args:
        engine: An `Engine`.
        table: String. Name of the table.
        columns: Sequence of strings. Names of columns.
        ids: Names of columns of ids, which are integers or text. Defaults to `()`.
    """
    kinds = {row[0]: row[1] for row in engine.rows(f"DESCRIBE {quoted(table)}")}
    for column in columns:
        if kinds[column] != "VARCHAR":
            continue
        name = quoted(column)
        integers, numbers, apart = engine.rows(f"""
SELECT count(*) = sum(CASE WHEN CAST(TRY_CAST({name} AS BIGINT) AS VARCHAR) = {name}
    THEN 1 ELSE 0 END),
  count(*) = sum(CASE WHEN isfinite(TRY_CAST({name} AS DOUBLE))
    AND NOT regexp_matches({name}, '^[+-]?0[0-9]') THEN 1 ELSE 0 END),
  count(DISTINCT {name}) = count(DISTINCT TRY_CAST({name} AS DOUBLE))
FROM {quoted(table)} WHERE {name} IS NOT NULL""")[0]
        if integers or (numbers and apart and column not in ids):
            kind = "BIGINT" if integers else "DOUBLE"
            engine.connection.execute(f"ALTER TABLE {quoted(table)} ALTER {name} TYPE {kind}")
