"""Writes a plan's tables: Parquet shards of rows, and the events file or inline histories."""

import pyarrow as pa

from lmn_tf.data.preparers.plan import SPLITS, quoted

EVENTS_FILE = "events.arrow"
_INLINE_ROWS = 50_000  # rows joined with their histories at a time


def write_rows(engine, plan, options, folder):
    """Writes `SPLIT-NNNNN.parquet` for every split and returns `{split: rows}`."""
    counts = {}
    inline = options.history == "inline"
    for split in SPLITS:
        counts[split] = total = engine.value(f"SELECT count(*) FROM rows_{split}")
        step = min(options.rows_per_file, _INLINE_ROWS * 4) if inline else options.rows_per_file
        for shard, start in enumerate(range(0, max(total, 1), step)):
            part = f"SELECT *, rowid AS _row FROM rows_{split} " + (
                f"WHERE rowid >= {start} AND rowid < {start + step}"
            )
            sql = _rows_query(engine, plan, part, options.max_history if inline else None)
            engine.copy_to_parquet(sql, folder / f"{split}-{shard:05d}.parquet")
    return counts


def write_events(engine, plan, folder):
    """Streams `events.arrow`, every user's events in order, and returns the number of events."""
    if engine.on_step is not None:
        engine.on_step(EVENTS_FILE)
    key = plan.history_key or plan.user
    names = [(f"numbered.{name}", as_name) for name, as_name in
             (("_user", key), ("_item", plan.item), ("_time", plan.time))]
    columns = ", ".join(f"{name} AS {quoted(as_name)}" for name, as_name in names)
    extra = "".join(f", {_source(engine, name)} AS {quoted(name)}" for name in plan.history)
    sql = (
        f"SELECT {columns}{extra} FROM numbered {_items_join(engine, plan.history, 'numbered')} "
        "ORDER BY numbered._user, numbered._position"
    )
    count = 0
    reader = engine.batches(sql)
    with pa.OSFile(str(folder / EVENTS_FILE), "wb") as file:
        with pa.ipc.new_file(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
    return count


def _rows_query(engine, plan, part, inline):
    """The published columns of some rows; with list columns of up to `inline` events each."""
    columns = [f"r._user AS {quoted(plan.user)}"]
    if plan.history_key:
        columns.append(f"r._history AS {quoted(plan.history_key)}")
    columns += [
        f"r._item AS {quoted(plan.item)}",
        f"r._time AS {quoted(plan.time)}",
        *(f"r.{quoted(name)}" for name in plan.context),
        *(f"users.{quoted(name)}" for name in plan.user_columns),
        *(f"items.{quoted(name)}" for name in plan.item_columns),
        "r._count AS history_count",
    ]
    joins = ""
    if plan.user_columns:
        joins += " LEFT JOIN users ON users._user = r._user"
    if plan.item_columns:
        joins += " LEFT JOIN items ON items._item = r._item"
    with_part = f"WITH part AS ({part})"
    if inline is not None:
        with_part += f", histories AS ({_histories(engine, plan, inline)})"
        joins += " LEFT JOIN histories ON histories._row = r._row"
        names = (plan.item, plan.time, *plan.history)
        columns += [
            f"coalesce(histories.{quoted('history_' + name)}, []) AS {quoted('history_' + name)}"
            for name in names
        ]
    columns.append(f"r._label AS {quoted(plan.label)}")
    return f"{with_part} SELECT {', '.join(columns)} FROM part AS r{joins} ORDER BY r._row"


def _histories(engine, plan, longest):
    """Lists of the newest strictly earlier events of some rows."""
    sources = {plan.item: "numbered._item", plan.time: "numbered._time"}
    sources |= {name: _source(engine, name) for name in plan.history}
    lists = ", ".join(
        f"list({source} ORDER BY numbered._position) AS {quoted('history_' + name)}"
        for name, source in sources.items()
    )
    return f"""
SELECT part._row, {lists} FROM part
JOIN numbered ON numbered._user = part._history
  AND numbered._position < part._count AND numbered._position >= part._count - {longest}
{_items_join(engine, plan.history, "numbered")}
GROUP BY part._row"""


def _source(engine, name):
    """Where a history column comes from: the event itself, else its item."""
    table = "numbered" if name in engine.columns("numbered") else "items"
    return f"{table}.{quoted(name)}"


def _items_join(engine, names, table):
    needed = any(name not in engine.columns(table) for name in names)
    return f"LEFT JOIN items ON items._item = {table}._item" if needed else ""
