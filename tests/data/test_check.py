import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from rated_items import rated_dict, ratings, write_rated
from small_shop import shop_dict, shop_rows, shop_spec, write_csv, write_events, write_parquet

from lmn_tf.data.check import check_columns, check_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

ROWS, EVENTS = shop_rows(60)


@pytest.mark.parametrize("by_reference", [False, True])
def test_data_that_fit(tmp_path, by_reference):
    write_events(tmp_path, EVENTS)
    spec = shop_spec(by_reference=by_reference)
    report = check_files(spec, write_parquet(tmp_path, ROWS, files=1), rows=50)
    assert report.problems == [] and report.rows == 50
    assert {"name": "age", "type": "int64", "used_by": ["age"]} in report.columns
    assert {"name": "agent", "type": "string", "used_by": ["agent"]} in report.columns
    users = {column["name"]: column["used_by"] for column in report.columns}
    assert users["tag_weights"] == ["tags/weights"]
    if by_reference:
        assert users["user"] == ["user", "group", "history.events.user"]
        assert users["count"] == ["history.events.count"] and users["h_item"] == []
    else:
        assert users["user"] == ["user", "group"] and users["h_item"] == ["item"]
    types = {column["name"]: column["type"] for column in report.columns}
    assert types["tags"] == "list<element: string>" and types["user"] == "string"
    assert spec.assets.vocabularies == {}
    assert len(report.batch) == 3
    for row, texts in zip(ROWS, report.batch, strict=False):
        vocabulary_text, number = texts["user"].split("→")
        assert vocabulary_text == row["user"] and int(number) >= 2
        assert texts["hour"] == str(row["hour"] + 2)
        assert texts["history/length"] == f"{min(len(row['h_item']), 12)} events"
        assert texts["label click"] == str(row["click"])
        assert float(texts["weight"]) == row["weight"]


def test_values_of_a_vocabulary_are_shown(tmp_path):
    rows = [{**row, "tags": ["blue", "grey"], "tag_weights": [0.5, 1.0]} for row in ROWS]
    report = check_files(shop_spec(), write_parquet(tmp_path, rows))
    assert report.batch[0]["tags"] == "blue→4, unknown→1"
    assert report.batch[0]["tags/weights"] == "0.5, 1"


def test_every_column_that_does_not_fit_is_told_at_once(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[4]["look"] = [1.0]
    rows[6]["click"] = 2
    rows[9]["since"] = 10**6
    for row in rows:
        row["price"] = "cheap"
        row["hours"] = row.pop("hour")
    report = check_files(shop_spec(), write_parquet(tmp_path, rows, files=1))
    text = "\n".join(report.problems)
    assert "column `hour` must be in the file. Did you mean `hours`?" in text
    assert "column `look`, row 5: a vector must have 3 numbers" in text
    assert "column `click`, row 7: label `click` must be 0 or 1. Received: 2" in text
    assert "column `since`, row 10: an event must not be later than the request time" in text
    assert "column `price`, row 1: the value must be a number. Received: 'cheap'" in text
    assert len(report.problems) == 5 and report.batch == []


def test_a_reference_beyond_the_events(tmp_path):
    write_events(tmp_path, EVENTS)
    rows = [dict(row) for row in ROWS]
    rows[0]["count"] = 999
    report = check_files(shop_spec(by_reference=True), write_parquet(tmp_path, rows))
    assert len(report.problems) == 1
    assert "column `count`, row 1: the count must be at most" in report.problems[0]


def test_a_column_that_the_events_lack(tmp_path):
    events = {
        user: [{name: event[name] for name in event if name != "h_dwell"} for event in some]
        for user, some in EVENTS.items()
    }
    write_events(tmp_path, events)
    files = write_parquet(tmp_path, ROWS)
    [problem] = check_files(shop_spec(by_reference=True), files).problems
    assert "events.arrow: column `h_dwell` must be in the events file." in problem
    (tmp_path / "events.arrow").unlink()
    [problem] = check_files(shop_spec(by_reference=True), files).problems
    assert "events.arrow: the events file must exist" in problem


def test_fewer_rows_than_are_shown(tmp_path):
    report = check_files(shop_spec(), write_parquet(tmp_path, ROWS[:2], files=1))
    assert report.rows == 2 and len(report.batch) == 2


def test_csv(tmp_path):
    report = check_files(shop_spec(nested=False), write_csv(tmp_path, ROWS))
    assert report.problems == []


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="no file matches"):
        check_files(shop_spec(), str(tmp_path / "*.parquet"))


def test_learned_vocabularies_are_kept(tmp_path):
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(user=["nobody"], item=[1])
    report = check_files(spec, write_parquet(tmp_path, ROWS))
    assert report.batch[0]["user"] == "unknown→1"


def test_columns_that_every_model_reads_must_be_there(tmp_path):
    histories = shop_spec().history_columns()
    rows = [{name: row[name] for name in row if name not in histories} for row in ROWS]
    files = write_parquet(tmp_path, rows, files=1)
    check_columns(shop_spec(), files)  # some models read no histories
    for name in ("click", "hour", "weight"):
        lacking = [{key: row[key] for key in row if key != name} for row in rows]
        with pytest.raises(UserError, match=f"column `{name}` must be in the file"):
            check_columns(shop_spec(), write_parquet(tmp_path, lacking, files=1))
    (tmp_path / "rows.tfrecord").write_bytes(b"not read")
    check_columns(shop_spec(), tmp_path / "rows.tfrecord")
    with pytest.raises(UserError, match="no file matches"):
        check_columns(shop_spec(), tmp_path / "none.csv")


def test_columns_are_those_of_a_file_with_rows(tmp_path):
    files = write_parquet(tmp_path, ROWS, files=1)
    table = pq.read_table(tmp_path / "train-0.parquet").slice(0, 0)
    pq.write_table(table, tmp_path / "train--1.parquet")
    check_columns(shop_spec(), files)
    assert check_files(shop_spec(), files).problems == []


def test_tensorflow_is_not_needed(tmp_path):
    code = "import sys; import lmn_tf.data.check; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_column_without_spread_is_noted(tmp_path):
    plain = shop_dict()
    price = next(one for one in plain["features"] if one["name"] == "price")
    price["transform"] = "standardize"
    files = write_parquet(tmp_path, [{**row, "price": 10.01} for row in ROWS])
    note = (
        "column `price`: `price` has no spread in the 60 rows read (10.01 to 10.01): "
        "`standardize` only subtracts."
    )
    assert note in check_files(FeatureSpec.from_dict(plain), files).notes
    notes = check_files(FeatureSpec.from_dict(plain), write_parquet(tmp_path, ROWS)).notes
    assert not any("spread" in note for note in notes)


@pytest.mark.parametrize("by_reference", [False, True])
def test_unknown_values_of_each_column_are_counted(tmp_path, by_reference):
    write_events(tmp_path, EVENTS)
    rows = [{**row, "hour": 24 if index < 7 else 3} for index, row in enumerate(ROWS)]
    spec = shop_spec(by_reference=by_reference)
    spec.assets.vocabularies["user"] = ["u1", "u2"]
    strangers = sum(row["user"] not in ("u1", "u2") for row in rows)
    tags = [tag for row in rows for tag in row["tags"][:3]]
    notes = check_files(spec, write_parquet(tmp_path, rows)).notes
    assert notes[:3] == (
        f"column `user`: {strangers} of 60 values of `user` are unknown or missing (id 1).",
        f"column `tags`: {tags.count('grey')} of {len(tags)} values of `tags` are unknown or "
        "missing (id 1).",
        "column `hour`: 7 of 60 values of `hour` are unknown or missing (id 1).",
    )
    # That of `item` is learned from the checked rows; hashes and crosses know every value.
    assert [note.split("`")[3] for note in notes[3:]] == ["history/tags"]


def test_a_cross_may_have_a_table_of_its_own(tmp_path):
    write_rated(tmp_path, ratings())
    plain = rated_dict(tables={"rated_item": {"dim": 4}})
    cross = {"name": "rated", "of": ["item", "liked"], "table": "rated_item"}
    plain["sequences"][0]["crosses"] = [cross]
    report = check_files(FeatureSpec.from_dict(plain), str(tmp_path / "train-*.parquet"))
    assert report.problems == [] and report.rows > 14


def test_a_cross_may_be_the_first_feature(tmp_path):
    write_rated(tmp_path, ratings())
    plain = rated_dict()
    cross = {"role": "cross", "kind": "cross", "lookup": {"hash": 97}}
    plain["features"].insert(0, {"name": "both", "of": ["item", "hour"], **cross})
    [sequence] = plain["sequences"]
    sequence["fields"] = [field for field in sequence["fields"] if "like" not in field]
    report = check_files(FeatureSpec.from_dict(plain), str(tmp_path / "train-*.parquet"))
    assert report.problems == [] and report.rows > 14


def test_no_note_without_unknown_values(tmp_path):
    rows = [{**row, "tags": ["red"], "tag_weights": [1.0], "h_tags": []} for row in ROWS]
    spec = shop_spec(nested=False)
    spec.assets.vocabularies.update(user=list(EVENTS), item=list(range(50)))
    assert check_files(spec, write_parquet(tmp_path, rows)).notes == ()
