"""A small shop: rows and events of users, their spec, and writers for every format."""

import csv
import random

import pyarrow as pa
import pyarrow.parquet as pq
from small_spec import small_spec

from lmn_tf.specs.feature_spec import FeatureSpec

MAX_LENGTH = 12
_FEATURES = {
    "user": {"lookup": {"learn": {}}},
    "age": {"transform": {"bucketize": [20, 30, 40]}},
    "item": {"lookup": {"learn": {"min_count": 2}}, "table": "item"},
    "tags": {"lookup": {"vocabulary": ["red", "green", "blue"]}, "max_values": 3},
    "price": {"default": 2.0, "transform": "log1p"},
    "look": {"size": 3},
    "hour": {"lookup": {"identity": 24}},
    "agent": {"lookup": {"hash": 50}},
    "since": {"unit": "hour"},
    "age_x_tags": {"lookup": {"hash": 97}},
}
_FIELDS = {"item": {}, "dwell": {"default": -1}, "elapsed": {"num_buckets": 12}}
_NESTED = {"tags": {}, "look": {}}
_EVENTS = {"events": {"file": "events.arrow", "user": "user", "count": "count"}}


def shop_dict(by_reference=False, keep="newest", nested=True):
    """The spec as plain data."""
    return small_spec(
        "shop",
        features=_FEATURES,
        fields={**_FIELDS, **(_NESTED if nested else {})},
        sequence={
            "name": "history",
            "max_length": MAX_LENGTH,
            "keep": keep,
            **(_EVENTS if by_reference else {}),
        },
        prefix="h",
        weight="weight",
        labels=[{"name": "click"}, {"name": "buy", "column": "bought"}],
        tables={"item": {"dim": 8}},
    )


def shop_spec(**options):
    """The spec, with the arguments of `shop_dict`."""
    return FeatureSpec.from_dict(shop_dict(**options))


def shop_rows(count=200, seed=1):
    """Rows as mappings, and the events of each user."""
    draw = random.Random(seed)
    events = {}
    for user in range(15):
        moments = sorted(draw.randrange(0, 100_000) for _ in range(draw.randrange(0, 30)))
        events[f"u{user}"] = [_event(draw, moment) for moment in moments]
    rows = []
    for _ in range(count):
        user = draw.choice(list(events))
        time = draw.randrange(20_000, 110_000)
        past = [event for event in events[user] if event["h_time"] <= time]
        row = {
            "user": user,
            "age": draw.choice([None, 15, 20, 25, 39, 77]),
            "item": draw.randrange(40),
            "tags": draw.choices(["red", "green", "blue", "grey"], k=draw.randrange(0, 5)),
            "price": draw.choice([None, 0.0, 0.5, 7.25]),
            "look": [draw.randrange(8) / 4 for _ in range(3)],
            "hour": draw.randrange(24),
            "agent": draw.choice(["web", "app", "mail"]),
            "since": time - draw.randrange(0, 20_000),
            "time": time,
            "weight": draw.choice([0.5, 1.0, 2.0]),
            "click": draw.randrange(2),
            "bought": draw.randrange(2),
            "count": len(past),
        }
        row["tag_weights"] = [draw.randrange(1, 8) / 8 for _ in row["tags"]]
        for column in ("h_item", "h_dwell", "h_time", "h_tags", "h_look"):
            row[column] = [event[column] for event in past]
        rows.append(row)
    return rows, events


def _event(draw, moment):
    return {
        "h_item": draw.randrange(45),
        "h_dwell": draw.choice([None, 1.0, 2.5]),
        "h_time": moment,
        "h_tags": draw.choices(["red", "green", "blue", "grey"], k=draw.randrange(0, 4)),
        "h_look": [draw.randrange(8) / 4 for _ in range(3)],
    }


def write_parquet(folder, rows, files=3, group=30, stem="train"):
    """Writes the rows over some files in small row groups; returns the glob."""
    table = pa.Table.from_pylist(rows)
    size = -(-len(rows) // files)
    for number in range(files):
        part = table.slice(number * size, size)
        pq.write_table(part, folder / f"{stem}-{number}.parquet", row_group_size=group)
    return str(folder / f"{stem}-*.parquet")


def write_events(folder, events, chunk=17):
    """Writes the events of all users, sorted by user, then time."""
    rows = [{"user": user, **event} for user, some in events.items() for event in some]
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(folder / "events.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=chunk)


def write_csv(folder, rows, files=2, stem="train"):
    """Writes the rows as CSV, lists as text joined by `|`; returns the glob."""
    flat = [name for name in rows[0] if name not in ("h_tags", "h_look")]
    size = -(-len(rows) // files)
    for number in range(files):
        with open(folder / f"{stem}-{number}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(flat)
            for row in rows[number * size : (number + 1) * size]:
                writer.writerow([_cell(row[name]) for name in flat])
    return str(folder / f"{stem}-*.csv")


def _cell(value):
    if isinstance(value, list):
        return "|".join(_cell(one) for one in value)
    return "" if value is None else str(value)


def write_tfrecord(folder, rows, files=2, stem="train"):
    """Writes the rows as `tf.train.Example`; returns the glob."""
    import tensorflow as tf

    size = -(-len(rows) // files)
    for number in range(files):
        with tf.io.TFRecordWriter(str(folder / f"{stem}-{number}.tfrecord")) as writer:
            for row in rows[number * size : (number + 1) * size]:
                row = {name: row[name] for name in row if name not in ("h_tags", "h_look")}
                feature = {name: _feature(tf, name, value) for name, value in row.items()}
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())
    return str(folder / f"{stem}-*.tfrecord")


def _feature(tf, name, value):
    values = value if isinstance(value, list) else [] if value is None else [value]
    if name in ("price", "look", "weight", "tag_weights", "h_dwell"):
        values = [float("nan") if one is None else one for one in values]
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    if name in ("user", "tags", "agent"):
        encoded = [one.encode() for one in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
