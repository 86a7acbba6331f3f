import hashlib
import json
import random

import duckdb
import pytest

from lmn_tf.data.preparers import PrepareOptions
from lmn_tf.data.preparers.plan import Plan, plan_steps, quoted, seeded_hash, text

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}
PLAN = Plan("tiny", "user", "item", "label", "time", "time", sampled=True)


def test_steps_are_named_once_and_build_on_earlier_ones():
    names = [step.name for step in plan_steps(PLAN, PrepareOptions())]
    assert len(names) == len(set(names))
    assert names[0] == "numbered" and names[-3:] == ["rows_train", "rows_valid", "rows_test"]
    assert "random(" not in " ".join(step.sql for step in plan_steps(PLAN, PrepareOptions()))


def test_the_seed_changes_draws_and_order_only():
    first = plan_steps(PLAN, PrepareOptions(seed=1))
    second = plan_steps(PLAN, PrepareOptions(seed=2))
    differ = {one.name for one, other in zip(first, second, strict=True) if one != other}
    rows = {"rows_train", "rows_valid", "rows_test"}
    assert differ == rows | {name for name in differ if name.startswith("draws_")}


@pytest.fixture
def growing(tmp_path):
    """A folder with a log in which new items appear all the time."""
    draw = random.Random(0)
    lines = ["user_id,item_id,time,category"]
    for user in range(20):
        for time in range(0, 60, 5):
            lines.append(f"{user},{time + draw.randrange(10)},{1_600_000_000 + time},c")
    folder = tmp_path / "growing"
    folder.mkdir()
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_negatives_by_popularity_come_from_training(growing, prepared, slow_twin):
    folder = prepared("interactions", growing, **NAMED, negatives="popularity")
    trained = {row["item_id"] for row in slow_twin.rows(folder, "train") if row["label"] == 1}
    for split in ("train", "valid", "test"):
        items = {1: set(), 0: set()}
        for row in slow_twin.rows(folder, split):
            items[row["label"]].add(row["item_id"])
        assert items[0] <= trained
        assert split == "train" or not items[1] <= trained


def test_uniform_negatives_are_known_by_the_end_of_their_split(growing, prepared, slow_twin):
    folder = prepared("interactions", growing, **NAMED, negatives_per_positive=3)
    known = set()
    for split in ("train", "valid", "test"):
        rows = slow_twin.rows(folder, split)
        new = {row["item_id"] for row in rows if row["label"] == 1} - known
        assert new, "each split must bring items of its own, or it checks nothing"
        known |= new
        negatives = {row["item_id"] for row in rows if row["label"] == 0}
        assert negatives <= known
        assert negatives & new, "as soon as an item is known it is drawn"


def test_negatives_may_be_what_the_user_had_before(tmp_path, prepared, slow_twin):
    draw, folder = random.Random(0), tmp_path / "again"
    folder.mkdir()
    lines = [f"{user},{draw.randrange(8)},{time}" for user in range(30) for time in range(10)]
    (folder / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    log = [slow_twin.Event(*map(int, line.split(",")), 1) for line in lines]
    names = {"user": "user_id", "item": "item_id", "time": "time"}
    for exclude in ("log", "request", "auto"):
        folder = prepared("interactions", tmp_path / "again", **names, negatives_exclude=exclude)
        again = exclude == "request"
        options = {"label": "label", "sampled": True, "repeats": again}
        twin = slow_twin.Twin(folder, log, **names, **options)
        had = {(event.user, event.item) for event in log}
        rows = [row for split in ("train", "valid", "test") for row in twin.rows[split]]
        negatives = [row for row in rows if row["label"] == 0]
        assert any((row["user_id"], row["item_id"]) in had for row in negatives) == again
        report = json.loads((folder / "report.json").read_text())["negatives"]
        firsts = {}
        for event in log:
            firsts.setdefault((event.user, event.item), event.time)
        repeated = sum(firsts[event.user, event.item] < event.time for event in log)
        assert report["repeated"] == repeated > 100
        told = f"{100 * repeated / len(log):.1f} % of the positives are items that their user had"
        assert (told in report["rule"]) is not again
        if again:
            assert "that the user did not touch at that time" in report["rule"]
            twin.check_targets(1)


def test_negatives_that_cannot_be_found_are_reported(tmp_path, prepared):
    folder = tmp_path / "log"
    folder.mkdir()
    lines = [f"a,{item},{item}" for item in range(10)] + ["b,1,20", "b,2,21"]
    (folder / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    named = {"user": "user_id", "item": "item_id", "time": "time"}
    report = json.loads((prepared("interactions", folder, **named) / "report.json").read_text())
    assert report["negatives"]["wanted"] == 12 and report["negatives"]["missing"] == 10


def test_names_and_texts_are_quoted():
    name, value = 'a "b"', "it's"
    row = duckdb.sql(f"SELECT {text(value)} AS {quoted(name)}")
    assert row.columns == [name] and row.fetchall() == [(value,)]


def test_hash_depends_on_seed_purpose_and_columns():
    sql = [
        seeded_hash(1, "order", "1", "'a'"),
        seeded_hash(2, "order", "1", "'a'"),
        seeded_hash(1, "draw", "1", "'a'"),
        seeded_hash(1, "order", "2", "'a'"),
        seeded_hash(1, "order", "NULL", "'a'"),
    ]
    values = duckdb.sql(f"SELECT {', '.join(sql)}").fetchall()[0]
    assert len(set(values)) == 5
    assert values[0] == int.from_bytes(hashlib.md5(b"1/order|1|a").digest()[8:], "little")
