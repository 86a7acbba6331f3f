"""Output of the tables of a plan: Parquet files of rows, and events or inline histories."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

import pyarrow as pa

from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.plan import SPLITS, quoted
from lmn_tf.data.reading.checksum import write_checksum

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions
    from lmn_tf.data.preparers.plan import Plan

EVENTS_FILE = "events.arrow"
_INLINE_ROWS = 100_000  # rows of a shard with inline histories
_INLINE_EVENTS = 2_000_000  # events collected into lists at a time, which the engine cannot spill


def write_rows(
    engine: Engine, plan: Plan, options: PrepareOptions, folder: pathlib.Path
) -> dict[str, int]:
    """Writes `SPLIT-NNNNN.parquet` for every split and returns `{split: rows}`.

    Each file has a checksum file.
    """
    counts = {}
    longest = options.max_history if options.history == "inline" else None
    size = options.rows_per_file if longest is None else min(options.rows_per_file, _INLINE_ROWS)
    for split in SPLITS:
        counts[split] = total = engine.value(f"SELECT count(*) FROM rows_{split}")
        for shard, start in enumerate(range(0, max(total, 1), size)):
            stop = min(start + size, total)
            if longest is None:
                sql = _rows_query(engine, plan, split, start, stop)
            else:
                sql = _gather(engine, plan, split, start, stop, longest)
            path = folder / f"{split}-{shard:05d}.parquet"
            engine.copy_to_parquet(sql, path)
            write_checksum(path)
    return counts


def write_events(engine: Engine, plan: Plan, folder: pathlib.Path) -> int:
    """Writes `events.arrow`, the events of all users in order, and returns their number.

    It has a checksum file.
    """
    if engine.on_step is not None:
        engine.on_step(EVENTS_FILE)
    fields = {plan.history_key or plan.user: "numbered._user"} | _history_fields(engine, plan)
    columns = ", ".join(f"{source} AS {quoted(name)}" for name, source in fields.items())
    sql = (
        f"SELECT {columns} FROM numbered {_items_join(engine, plan)} "
        "ORDER BY numbered._user, numbered._position"
    )
    count = 0
    reader = engine.batches(sql)
    with pa.OSFile(str(folder / EVENTS_FILE), "wb") as file:
        with pa.ipc.new_file(file, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
    write_checksum(folder / EVENTS_FILE)
    return count


def _gather(engine, plan, split, start, stop, longest):
    """Creates `inline` from some rows, with a limited number of events at a time."""
    step = max(1, _INLINE_EVENTS // longest)
    verb = "CREATE OR REPLACE TABLE inline AS"
    for first in range(start, max(stop, start + 1), step):
        query = _rows_query(engine, plan, split, first, min(first + step, stop), longest)
        engine.rows(f"{verb} {query}")
        verb = "INSERT INTO inline"
    return "FROM inline"


def _rows_query(engine, plan, split, start, stop, inline=None):
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
    part = f"SELECT *, rowid AS _row FROM rows_{split} WHERE rowid >= {start} AND rowid < {stop}"
    with_part = f"WITH part AS ({part})"
    if inline is not None:
        with_part += f", histories AS ({_histories(engine, plan, inline)})"
        joins += " LEFT JOIN histories ON histories._row = r._row"
        columns += [
            f"coalesce([event.{quoted(name)} for event in _events], []) AS "
            + quoted(f"history_{name}")
            for name in _history_fields(engine, plan)
        ]
    columns.append(f"r._label AS {quoted(plan.label)}")
    return f"{with_part} SELECT {', '.join(columns)} FROM part AS r{joins} ORDER BY r._row"


def _histories(engine, plan, longest):
    """Lists of the newest strictly earlier events of some rows."""
    fields = ", ".join(
        f"{quoted(name)} := {source}" for name, source in _history_fields(engine, plan).items()
    )
    return f"""
SELECT part._row, list(struct_pack({fields}) ORDER BY numbered._position) AS _events FROM part
JOIN numbered ON numbered._user = part._history
  AND numbered._position < part._count AND numbered._position >= part._count - {longest}
{_items_join(engine, plan)}
GROUP BY part._row"""


def _history_fields(engine, plan):
    """SQL of each published column of an event: of the event, or of its item."""
    fields = {plan.item: "numbered._item"}
    if plan.history_time:
        fields[plan.time] = "numbered._time"
    event_columns = engine.columns("numbered")
    for name in plan.history:
        fields[name] = f"{'numbered' if name in event_columns else 'items'}.{quoted(name)}"
    return fields


def _items_join(engine, plan):
    needed = any(source.startswith("items.") for source in _history_fields(engine, plan).values())
    return "LEFT JOIN items ON items._item = numbered._item" if needed else ""
