"""A random click log with histories of any length, written within seconds."""

from pathlib import Path

ITEMS, CATEGORIES = 20_000, 200
_START = 1_700_000_000


def spec_of(length, inline=False, elapsed=True):
    """The feature spec of a log, with histories of width 32, by reference or as lists in each row.

    Args:
        length: Integer. Length of the longest history.
        inline: Boolean. Whether rows contain their histories. Defaults to `False`: by reference.
        elapsed: Boolean. Whether events have an elapsed time. Defaults to `True`.

    Returns:
        `FeatureSpec` without learned vocabularies.
    """
    from lmn_tf.specs.feature_spec import FeatureSpec

    history = {"name": "history", "max_length": length, "fields": []}
    for name in ("item_id", "category"):
        history["fields"].append({"name": name, "like": name})
    if elapsed:
        history["fields"].append({"name": "elapsed", "column": "time", "kind": "elapsed_time"})
    if inline:
        for field in history["fields"]:
            field["column"] = f"history_{field.get('column', field['name'])}"
    else:
        history["events"] = {"file": "events.arrow", "user": "user_id", "count": "event_count"}
    learned = {"kind": "categorical", "lookup": {"learn": {"min_count": 1}}}
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "log",
            "group": "user_id",
            "request_time": "time",
            "labels": [{"name": "click"}],
            "tables": {"item": {"dim": 24}, "category": {"dim": 8}},
            "features": [
                {"name": "segment", "role": "user", "kind": "categorical", "lookup": {"hash": 50}},
                {"name": "item_id", "role": "item", "table": "item", **learned},
                {"name": "category", "role": "item", "table": "category", **learned},
                {"name": "price", "role": "item", "kind": "numeric", "transform": "standardize"},
            ],
            "sequences": [history],
        }
    )


def write_log(folder, rows, length, shortest=None, inline=False, rows_per_user=None):
    """Writes `train-0.parquet` and, by reference, `events.arrow`.

    Args:
        folder: Path of the folder to write to.
        rows: Integer. Number of rows.
        length: Integer. Length of the longest history.
        shortest: Integer. Length of the shortest history; rows are then sorted by the length of
            their history. Defaults to `None`: all have the same length.
        inline: Boolean. Whether rows contain their histories. Defaults to `False`.
        rows_per_user: Integer. Rows of each user, whose histories grow by one event per row up to
            `length`. Defaults to `None`: users and histories are random.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet

    random = np.random.default_rng(1)
    users = max(rows // (rows_per_user or 20), 1)
    # A user has more events than a history, so that the histories of its rows differ.
    past = 2 * length
    items = (random.random((users, past)) ** 2 * ITEMS).astype(np.int64)
    times = _START + np.sort(random.integers(0, 10**6, (users, past)), axis=1)
    user = np.sort(random.integers(users, size=rows))
    if rows_per_user is not None:
        user = np.repeat(np.arange(users), rows_per_user)
        rows = len(user)
        count = length - rows_per_user + 1 + np.tile(np.arange(rows_per_user), users)
    elif shortest is None:
        count = random.integers(length, past + 1, size=rows)
    else:
        count = np.sort(random.integers(shortest, length + 1, size=rows))
    item = (random.random(rows) ** 2 * ITEMS).astype(np.int64)
    columns = {
        "user_id": user,
        "segment": user % 50,
        "item_id": item,
        "category": item % CATEGORIES,
        "price": random.lognormal(size=rows),
        "time": np.full(rows, _START + 10**6),
        "click": random.integers(0, 2, rows),
    }
    folder = Path(folder)
    if inline:
        kept = np.minimum(count, length)
        ends = np.cumsum(kept)
        # Events `count - kept` to `count` of each row's user, row after row.
        within = np.arange(ends[-1]) - np.repeat(ends - kept, kept)
        flat = np.repeat(user * past + count - kept, kept) + within
        offsets = pa.array(np.append(0, ends).astype(np.int32))
        for name, values in (("item_id", items), ("time", times)):
            column = pa.array(values.ravel()[flat])
            columns[f"history_{name}"] = pa.ListArray.from_arrays(offsets, column)
        column = pa.array((items % CATEGORIES).ravel()[flat])
        columns["history_category"] = pa.ListArray.from_arrays(offsets, column)
    else:
        columns["event_count"] = count
        events = pa.table(
            {
                "user_id": np.repeat(np.arange(users), past),
                "item_id": items.ravel(),
                "category": (items % CATEGORIES).ravel(),
                "time": times.ravel(),
            }
        )
        with pa.OSFile(str(folder / "events.arrow"), "wb") as sink:
            with pa.ipc.new_file(sink, events.schema) as writer:
                writer.write_table(events, max_chunksize=1 << 18)
    table = pa.table(columns)
    pyarrow.parquet.write_table(
        table, folder / "train-0.parquet", compression="zstd", row_group_size=4096
    )
