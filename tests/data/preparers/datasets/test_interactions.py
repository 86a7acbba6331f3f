import csv
import gzip
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


def test_histories_may_hold_the_label_of_their_events(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "log", "csv")
    options = {"label": "stars", "rating_threshold": 3, "event_columns": ("stars",)}
    folder = prepared("interactions", source, **options, **NAMED)
    log = [slow_twin.Event(u, i, t, int(s >= 3), (s,)) for u, i, t, s, *_ in log_rows()]
    slow_twin.Twin(folder, log, seen=("stars",), **NAMES).check(split_by="time")
    assert "stars" not in slow_twin.rows(folder, "train")[0]


def test_order_instead_of_time(tmp_path, slow_twin, prepared):
    source = write(tmp_path / "log", "csv")
    folder = prepared("interactions", source, user="who", item="what", order="when")
    log = [slow_twin.Event(u, i, t, 1) for u, i, t, *_ in log_rows()]
    slow_twin.Twin(folder, log, sampled=True, **NAMES).check(split_by="position")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_positions_are_exact(tmp_path, prepared, kind):
    """Doubles would make ties of these, and ties of one item are one event."""
    rows = [["u", item % 3, 1_700_000_000_000_000_000 + item, 1, "k", "d", 1] for item in range(9)]
    source = write(tmp_path / "log", kind, rows)
    folder = prepared("interactions", source, user="who", item="what", order="when")
    assert not json.loads((folder / "report.json").read_text())["dropped"]


def test_positions_are_whole_numbers(tmp_path, prepared):
    rows = [["u", item, f"{item}.0", 1, "k", "d", 1] for item in range(9)]
    source = write(tmp_path / "log", "csv", rows)
    prepared("interactions", source, user="who", item="what", order="when")
    source = write(tmp_path / "other", "csv", [[*rows[0][:2], "0.5", *rows[0][3:]]])
    with pytest.raises(UserError, match="`when` must be a readable BIGINT. Received: 0.5"):
        prepare("interactions", source, tmp_path / "out", user="who", item="what", order="when")


@pytest.mark.parametrize(
    ("text", "unit"),
    [("2020-09-13 12:26:40", "second"), ("1600000000", "second"), ("1600000000123", "millisecond")],
)
def test_times_become_seconds(tmp_path, slow_twin, prepared, text, unit):
    rows = [["u", item, text, 1, "k", "d", 1] for item in range(9)]
    source = write(tmp_path / "log", "csv", rows)
    folder = prepared("interactions", source, **NAMED, label="stars", time_unit=unit)
    assert {row["when"] for row in slow_twin.rows(folder, "train")} == {1_600_000_000}


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_offsets_from_utc_count(tmp_path, slow_twin, prepared, kind):
    """A time that is later on the clock may be earlier; without an offset it is in UTC."""
    texts = ["2024-01-31T12:00:00+02:00", "2024-01-31T11:00:00", "2024-01-31T07:00:00.5-05:00"]
    rows = [["u", item, text, 1, "k", "d", 1] for item, text in enumerate(texts)]
    source = write(tmp_path / "log", kind, rows)
    folder = prepared("interactions", source, **NAMED, label="stars", valid_share=0, test_share=0)
    found = {row["what"]: row["when"] for row in slow_twin.rows(folder, "train")}
    assert found == {0: 1_706_695_200, 1: 1_706_698_800, 2: 1_706_702_400}


def test_milliseconds_are_no_seconds(tmp_path):
    source = write(tmp_path / "log", "csv", [["u", "i", 1_600_000_000_000, 1, "k", "d", 1]])
    message = r"log.csv:2: `when` must be such that abs\(when\) <= 100000000000. Received: 16000"
    with pytest.raises(UserError, match=message):
        prepare("interactions", source, tmp_path / "out", **NAMED, label="stars")


def test_ids_with_leading_zeros_stay_text(tmp_path, slow_twin, prepared):
    rows = [[user, "1", "5", "1", "k", "d", "1"] for user in ("7", "07", "8")]
    source = write(tmp_path / "log", "csv", rows)
    folder = prepared("interactions", source, **NAMED, label="stars")
    assert {row["who"] for row in slow_twin.rows(folder, "train")} == {"7", "07", "8"}


BIG = 2**64 - 1


def test_ids_keep_their_text(tmp_path, slow_twin, prepared):
    users = ["7", " 7", "007", "1e5", "100000", str(BIG), str(BIG - 1), "nan"]
    rows = [[user, 10**19 + at, "5", "1", "1.10", "d", "1"] for at, user in enumerate(users)]
    rows += [["7", 8, "4", "1", "1.1", "d", "1"]]
    folder = prepared(
        "interactions", write(tmp_path / "log", "csv", rows), **NAMED, **EXTRA, label="stars"
    )
    rows = [row for split in ("train", "valid", "test") for row in slow_twin.rows(folder, split)]
    assert sorted(row["who"] for row in rows) == sorted([*users, "7"])
    assert len({row["what"] for row in rows}) == 9
    assert {row["kind"] for row in rows} == {"1.10", "1.1"}


def test_files_of_several_types(tmp_path, slow_twin, prepared):
    log = tmp_path / "log"
    log.mkdir()
    columns = {
        "int32": pa.array([7, 8], pa.int32()),
        "uint64": pa.array([7, BIG], pa.uint64()),
        "double": pa.array([7.0, None]),
        "string": pa.array(["7", "007"]),
    }
    for at, (name, users) in enumerate(columns.items()):
        table = {"who": users, "what": [1, 2], "when": [at, at], "stars": [1, 0]}
        pq.write_table(pa.table(table), log / f"{name}.parquet")
    folder = prepared("interactions", log, **NAMED, label="stars", max_malformed=0.5)
    rows = [row for split in ("train", "valid", "test") for row in slow_twin.rows(folder, split)]
    assert sorted(row["who"] for row in rows) == ["007", str(BIG), "7", "7", "7", "7", "8"]
    report = json.loads((folder / "report.json").read_text())
    (row,) = report["read"]["log"]["malformed_rows"]
    assert row["problem"] == "`who` must be a readable value. Received: nothing"


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("options", [{}, {"rating_threshold": 1}])
def test_a_row_without_a_label_is_history_only(tmp_path, slow_twin, prepared, kind, options):
    nothing = "" if kind == "csv" else None
    rows = [["u", item, 10 * item, item % 2, "k", "d", 1] for item in range(1, 20)]
    rows[4][3], rows[5][3] = nothing, float("nan") if kind == "parquet" else nothing
    source = write(tmp_path / "log", kind, rows)
    folder = prepared("interactions", source, **NAMED, label="stars", **options)
    found = [row for split in ("train", "valid", "test") for row in slow_twin.rows(folder, split)]
    assert {row["what"] for row in found} == set(range(1, 20)) - {5, 6}
    assert all(row["label"] == row["what"] % 2 for row in found)
    assert max(row["history_count"] for row in found) == 18
    report = json.loads((folder / "report.json").read_text())
    assert report["read"]["log"]["malformed"] == 0
    assert report["dropped"] == {"rows without a label, which are events of histories only": 2}


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_a_row_without_the_value_of_a_column_is_kept(tmp_path, slow_twin, prepared, nothing):
    rows = [["u", item, item, item % 2, "k", "d", item / 2] for item in range(1, 20)]
    rows[4][-1] = rows[5][-1] = nothing
    source = write(tmp_path / "log", "parquet", rows)
    folder = prepared("interactions", source, **NAMED, label="stars", columns=("dwell",))
    found = [row for split in ("train", "valid", "test") for row in slow_twin.rows(folder, split)]
    assert {row["what"]: row["dwell"] for row in found} == {
        item: None if item in (5, 6) else item / 2 for item in range(1, 20)
    }


@pytest.mark.parametrize("delimiter", [None, ";", "\t"])
def test_delimiters(tmp_path, slow_twin, prepared, delimiter):
    source = write(tmp_path / "log", "csv", [row[:5] + ["d", 1] for row in log_rows()])
    wanted = prepared("interactions", source, **NAMED)
    text = (source / "log.csv").read_text().replace(",", delimiter or ",")
    (source / "log.csv").write_text(text)
    folder = prepared("interactions", source, **NAMED, delimiter=delimiter)
    for split in ("train", "test"):
        assert slow_twin.rows(folder, split) == slow_twin.rows(wanted, split)
    notes = json.loads((folder / "report.json").read_text())["notes"]
    assert notes[1] == f"Cells are parted by {delimiter or ','!r}."


def test_a_delimiter_is_for_text_files(tmp_path, prepared):
    source = write(tmp_path / "log", "parquet")
    with pytest.raises(UserError, match="`delimiter` must come with .csv or .tsv files. Received:"):
        prepared("interactions", source, **NAMED, delimiter=";")


@pytest.mark.parametrize("name", ["log.csv", "LOG.CSV", "log.csv.gz"])
def test_input_may_be_a_file(tmp_path, slow_twin, prepared, name):
    source = write(tmp_path / "log", "csv")
    wanted = prepared("interactions", source, **NAMED)
    data = (source / "log.csv").read_bytes()
    (source / "log.csv").unlink()
    (source / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    (source / "other.csv").write_text("x")
    folder = prepared("interactions", source / name, **NAMED)
    assert slow_twin.rows(folder, "train") == slow_twin.rows(wanted, "train")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_twice(tmp_path, prepared, kind):
    source = write(tmp_path / "log", kind)
    if kind == "csv":
        text = (source / "log.csv").read_text().replace("device", "who", 1)
        (source / "log.csv").write_text(text)
    else:
        table = pq.read_table(source / "log.parquet")
        table = table.append_column("who", table["device"])
        pq.write_table(table, source / "log.parquet")
    with pytest.raises(UserError, match="`who` must be in the file once. Received: 2 columns of"):
        prepared("interactions", source, **NAMED)


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
        ({"label": "stars", "columns": ("stars",)}, "`label` must be a column that only `event_c"),
        (
            {"label": "stars", "rating_threshold": 4, "category": ("stars",)},
            "would hold what is predicted from them. Received: label='stars'",
        ),
        ({"label": "when"}, "`label` must be a column that only `event_columns` name as well"),
        ({"columns": ("kind", "kind")}, "columns must be named once"),
        ({"columns": ("history_count",)}, "columns must be named once"),
        ({"columns": ("Label",)}, "not be one of .*, in capitals or not. Received: 'Label'"),
        ({"columns": ("kind", "Kind")}, "columns must be named once, .* Received: 'kind'"),
        ({"columns": ("WHO",)}, "columns must be named once, .* Received: 'who'"),
        (
            {"columns": ("History_What",), "history": "inline"},
            "columns must not have the name of an inline history. Received: 'history_what', which",
        ),
        (
            {"event_columns": ("count",), "history": "inline"},
            "Received: 'history_count', which is the history of 'count'",
        ),
        ({"user": "whos"}, "log.csv:1: column `whos` must be in the file.*Did you mean `who`"),
        ({"files": "*"}, "`files` must match files of one format"),
        ({"delimiter": ";;"}, "`delimiter` must be one ASCII character"),
        ({"delimiter": ";"}, "log.csv:1: column `who` must be in the file. Received: who,what"),
        ({"files": "*.arrow"}, r"`input` must hold \*.arrow"),
        ({"label": "stars"}, "log.csv:[0-9]+: `stars` must be such that stars IN"),
    ],
)
def test_mistakes(tmp_path, options, message):
    source = write(tmp_path / "log", "csv")
    (source / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=message):
        prepare("interactions", source, tmp_path / "out", **(NAMED | options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["feb.tsv", "feb.jsonl", "feb.json"])
def test_no_file_of_another_format_is_left_out(tmp_path, prepared, name):
    source = write(tmp_path / "log", "csv")
    (source / name).write_bytes(b"")
    message = f"`input` without `files` must hold files of one format.*Received: {name}, log.csv"
    with pytest.raises(UserError, match=message):
        prepared("interactions", source, **NAMED)
    prepared("interactions", source, files="log.*", **NAMED)
