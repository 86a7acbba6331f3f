import csv
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.specs.errors import UserError

HEADER = ["who", "what", "when", "stars", "kind", "device", "dwell"]
NAMED = {"user": "who", "item": "what", "time": "when"}
EXTRA = {"category": ("kind",), "columns": ("device",), "event_columns": ("dwell",)}
NAMES = {"user": "who", "item": "what", "time": "when", "label": "label"}


def log_rows(seed=0):
    draw = random.Random(seed)
    return [
        [f"u{user}", item, 1_600_000_000 + draw.randrange(50), draw.randint(1, 5), f"k{item % 3}"]
        + [draw.choice(["phone, large", 'a "tablet"']), draw.randint(0, 9) / 2]
        for user in range(6)
        for item in draw.sample(range(40), draw.choice([1, 4, 15]))
    ]


def write(folder, kind, rows=None):
    folder.mkdir(parents=True, exist_ok=True)
    rows = log_rows() if rows is None else rows
    path = folder / f"log.{kind}"
    if kind == "parquet":
        columns = [list(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, names=HEADER), path)
    elif kind == "jsonl":
        lines = [json.dumps(dict(zip(HEADER, row, strict=True))) for row in rows]
        path.write_text("\n".join(lines) + "\n")
    else:
        with open(path, "w", newline="") as file:
            writer = csv.writer(file, delimiter="," if kind == "csv" else "\t")
            writer.writerows([HEADER, *rows])
    return folder


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_rows_know_only_strictly_earlier_events(tmp_path, slow_twin, prepared, kind):
    folder = prepared("interactions", write(tmp_path / "log", kind), **NAMED, **EXTRA)
    log = [
        slow_twin.Event(user, item, time, 1, (category, device, dwell))
        for user, item, time, _, category, device, dwell in log_rows()
    ]
    seen = ("kind", "device", "dwell")
    slow = slow_twin.Twin(folder, log, seen=seen, sampled=True, **NAMES)
    slow.check(split_by="time")
    rows = slow_twin.rows(folder, "train")
    assert "dwell" not in rows[0]
    assert all(row["kind"] == f"k{row['what'] % 3}" for row in rows)


def test_ratings_above_a_threshold_are_labels(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "log", "csv")
    folder = prepared("interactions", source, label="stars", rating_threshold=3, **NAMED)
    log = [slow_twin.Event(u, i, t, int(stars >= 3)) for u, i, t, stars, *_ in log_rows()]
    slow_twin.Twin(folder, log, **NAMES).check(split_by="time")


def test_order_instead_of_time(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "log", "csv")
    folder = prepared("interactions", source, user="who", item="what", order="when")
    log = [slow_twin.Event(u, i, t, 1) for u, i, t, *_ in log_rows()]
    slow_twin.Twin(folder, log, sampled=True, **NAMES).check(split_by="position")


@pytest.mark.parametrize(
    ("text", "unit"),
    [("2020-09-13 12:26:40", "second"), ("1600000000", "second"), ("1600000000123", "millisecond")],
)
def test_times_become_seconds(tmp_path, slow_twin, prepared, text, unit):
    rows = [["u", item, text, 1, "k", "d", 1] for item in range(9)]
    source = write(tmp_path / "log", "csv", rows)
    folder = prepared("interactions", source, **NAMED, label="stars", time_unit=unit)
    assert {row["when"] for row in slow_twin.rows(folder, "train")} == {1_600_000_000}


def test_ids_with_leading_zeros_stay_text(tmp_path, slow_twin, prepared):
    rows = [[user, "1", "5", "1", "k", "d", "1"] for user in ("7", "07", "8")]
    source = write(tmp_path / "log", "csv", rows)
    folder = prepared("interactions", source, **NAMED, label="stars")
    assert {row["who"] for row in slow_twin.rows(folder, "train")} == {"7", "07", "8"}


def test_repeated_events_count_once(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "log", "csv", log_rows() * 2)
    folder = prepared("interactions", source, **NAMED)
    report = json.loads((folder / "report.json").read_text())
    repeated = report["dropped"]["events that repeat another in every column"]
    assert repeated == report["events"] == len(log_rows())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"user": None}, "`user` must name a column"),
        ({"item": ""}, "`item` must name a column"),
        ({"time": None}, "exactly one of `time` and `order` must name a column"),
        ({"order": "stars"}, "exactly one of `time` and `order` must name a column"),
        ({"rating_threshold": 3}, "`rating_threshold` must come with `label`"),
        ({"time_unit": "hour"}, "`time_unit` must be one of"),
        ({"columns": ("kind", "kind")}, "columns must be named once"),
        ({"columns": ("history_count",)}, "columns must be named once"),
        ({"user": "whos"}, "log.csv:1: column `whos` must be in the file.*Did you mean `who`"),
        ({"files": "*"}, "`files` must match files of one format"),
        ({"files": "*.arrow"}, r"`input` must hold \*.arrow"),
        ({"label": "stars"}, "log.csv:[0-9]+: `_label_value` must be such that"),
    ],
)
def test_mistakes(tmp_path, options, message):
    source = write(tmp_path / "log", "csv")
    (source / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        prepare("interactions", source, tmp_path / "out", **(NAMED | options))
    assert not (tmp_path / "out").exists()
