import json
import random
import subprocess
import sys

import pytest

from lmn_tf.data.preparers import feature_specs, prepare
from lmn_tf.specs.errors import UserError

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}


@pytest.fixture
def log(tmp_path):
    draw = random.Random(0)
    lines = ["user_id,item_id,time,category"]
    for user in range(20):
        for item in draw.sample(range(60), 12):
            lines.append(f"{user},{item},{1_600_000_000 + draw.randrange(90)},c{item % 4}")
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return folder


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_runs_write_equal_bytes(log, prepared):
    first = files(prepared("interactions", log, **NAMED))
    assert first == files(prepared("interactions", log, **NAMED))
    threads = files(prepared("interactions", log, **NAMED, threads=1, memory_limit="300MB"))
    assert first == threads
    other = files(prepared("interactions", log, **NAMED, seed=2))
    assert {name for name in first if first[name] != other[name]}


def test_negatives_by_popularity_come_from_training(log, prepared, slow_twin):
    folder = prepared("interactions", log, **NAMED, negatives="popularity")
    trained = {row["item_id"] for row in slow_twin.rows(folder, "train") if row["label"] == 1}
    for split in ("train", "valid", "test"):
        for row in slow_twin.rows(folder, split):
            assert row["label"] == 1 or row["item_id"] in trained


def test_uniform_negatives_are_known_by_the_end_of_their_split(log, prepared, slow_twin):
    folder = prepared("interactions", log, **NAMED, negatives_per_positive=3)
    known = set()
    for split in ("train", "valid", "test"):
        rows = slow_twin.rows(folder, split)
        known |= {row["item_id"] for row in rows if row["label"] == 1}
        assert {row["item_id"] for row in rows if row["label"] == 0} <= known


def test_negatives_that_cannot_be_found_are_reported(tmp_path, prepared):
    folder = tmp_path / "log"
    folder.mkdir()
    lines = [f"a,{item},{item}" for item in range(10)] + ["b,1,20", "b,2,21"]
    (folder / "log.csv").write_text("user_id,item_id,time\n" + "\n".join(lines) + "\n")
    named = {"user": "user_id", "item": "item_id", "time": "time"}
    report = json.loads((prepared("interactions", folder, **named) / "report.json").read_text())
    assert report["negatives"]["wanted"] == 12 and report["negatives"]["missing"] == 10


@pytest.mark.parametrize("longest", [1, 5, 200])
def test_inline_lists_are_the_newest_events(log, prepared, slow_twin, longest):
    by_reference = prepared("interactions", log, **NAMED)
    inline = prepared(
        "interactions", log, **NAMED, history="inline", max_history=longest, rows_per_file=50
    )
    assert not (inline / "events.arrow").exists()
    assert len(list(inline.glob("train-*.parquet"))) > 1
    events = {}
    for event in slow_twin.events(by_reference):
        events.setdefault(event["user_id"], []).append(event)
    for split in ("train", "valid", "test"):
        pairs = zip(
            slow_twin.rows(by_reference, split), slow_twin.rows(inline, split), strict=True
        )
        for row, listed in pairs:
            seen = events[row["user_id"]][: row["history_count"]][-longest:]
            for name in ("item_id", "time", "category"):
                assert listed.pop(f"history_{name}") == [event[name] for event in seen]
            assert row == listed


def test_report_counts_what_was_written(log, prepared, slow_twin):
    folder = prepared("interactions", log, **NAMED)
    report = json.loads((folder / "report.json").read_text())
    for split in ("train", "valid", "test"):
        rows = slow_twin.rows(folder, split)
        told = report["rows"][split]
        assert told["rows"] == len(rows)
        assert told["users"] == len({row["user_id"] for row in rows})
        assert told["items"] == len({row["item_id"] for row in rows})
        assert told["label_rate"] == pytest.approx(
            sum(row["label"] for row in rows) / len(rows), abs=1e-6
        )
        lengths = sorted(row["history_count"] for row in rows)
        assert report["history_length"][split]["0.5"] == lengths[(len(lengths) + 1) // 2 - 1]
        assert report["history_length"][split]["1.0"] == lengths[-1]
    assert "| train |" in (folder / "report.md").read_text()
    assert str(folder.parent) not in (folder / "report.json").read_text()


def test_vocabularies_are_learned_for_the_named_spec(log, tmp_path, root):
    spec = root / "feature_specs" / "interactions_example.yaml"
    prepare("interactions", log, tmp_path / "out", spec=spec, **NAMED)
    assert (tmp_path / "out" / "statistics.json").is_file()
    names = {path.stem for path in (tmp_path / "out" / "vocabularies").iterdir()}
    assert names == {"user_id", "item_id", "category"}


def test_the_named_spec_must_fit(log, tmp_path, root):
    spec = root / "feature_specs" / "interactions_example.yaml"
    named = NAMED | {"category": ()}
    message = "interactions_example.yaml: column `category` must be in the rows"
    with pytest.raises(UserError, match=message):
        prepare("interactions", log, tmp_path / "out", spec=spec, **named)
    with pytest.raises(UserError, match="reads events.arrow, which was not written"):
        prepare("interactions", log, tmp_path / "out", spec=spec, history="inline", **NAMED)
    assert not (tmp_path / "out").exists()


def test_the_shipped_spec_may_not_fit(log, tmp_path, root, monkeypatch):
    spec = root / "feature_specs" / "movielens_1m.yaml"
    monkeypatch.setattr(feature_specs, "shipped_spec", lambda name: spec)
    report = prepare("interactions", log, tmp_path / "out", **NAMED)
    assert report["vocabularies"].startswith("not learned: the shipped movielens_1m.yaml")


def test_shipped_spec_is_found_here_or_beside_the_package(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = root / "feature_specs" / "mind.yaml"
    assert feature_specs.shipped_spec("mind").samefile(shipped)
    (tmp_path / "feature_specs").mkdir()
    (tmp_path / "feature_specs" / "mind.yaml").touch()
    assert feature_specs.shipped_spec("mind") == tmp_path / "feature_specs" / "mind.yaml"
    assert feature_specs.shipped_spec("unheard_of") is None


def test_output_appears_whole_or_not_at_all(log, tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("power cut")

    output = tmp_path / "out"
    monkeypatch.setattr("lmn_tf.data.preparers.preparation.write_report", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        prepare("interactions", log, output, **NAMED)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_output_in_the_way(log, tmp_path, prepared):
    output = prepared("interactions", log, **NAMED)
    (output / "mine.txt").touch()
    with pytest.raises(UserError, match="`output` must be empty or new, unless `overwrite`"):
        prepare("interactions", log, output, **NAMED)
    prepare("interactions", log, output, overwrite=True, **NAMED)
    assert not (output / "mine.txt").exists()
    with pytest.raises(UserError, match="`overwrite` must only replace a folder that was prepared"):
        prepare("interactions", log, log, overwrite=True, **NAMED)
    with pytest.raises(UserError, match="`output` must be a folder"):
        prepare("interactions", log, log / "log.csv", **NAMED)


def test_nothing_to_train_on(log, tmp_path):
    with pytest.raises(UserError, match="`input` must hold at least one row to train on"):
        prepare("interactions", log, tmp_path / "out", min_history=100, **NAMED)


def test_unknown_names(log, tmp_path):
    with pytest.raises(UserError, match="`dataset` must be one of .*Did you mean `mind`"):
        prepare("mindd", log, tmp_path / "out")
    with pytest.raises(UserError, match="`sed` must be an option of mind.*Did you mean `seed`"):
        prepare("mind", log, tmp_path / "out", sed=1)


def test_malformed_share_refuses_and_writes_nothing(log, tmp_path):
    with open(log / "log.csv", "a") as file:
        file.write("1,2,yesterday,c\n" * 4)
    with pytest.raises(UserError, match="log.csv:242: `_time` must be a readable time.*yesterday"):
        prepare("interactions", log, tmp_path / "out", **NAMED)
    assert not (tmp_path / "out").exists()
    report = prepare("interactions", log, tmp_path / "out", max_malformed=0.05, **NAMED)
    assert report["read"]["log"]["malformed"] == 4


def test_repeated_attributes_keep_the_first(tmp_path, prepared, slow_twin):
    folder = tmp_path / "ml"
    folder.mkdir()
    (folder / "ratings.dat").write_text("".join(f"1::{m}::4::{m}\n" for m in range(1, 9)))
    (folder / "users.dat").write_text("1::F::25::3::0\n1::M::18::4::0\n")
    movies = "".join(f"{m}::M ({1990 + m})::Drama\n" for m in range(1, 9))
    (folder / "movies.dat").write_text(movies)
    output = prepared("movielens-1m", folder)
    assert {row["gender"] for row in slow_twin.rows(output, "train")} == {"F"}
    report = json.loads((output / "report.json").read_text())
    assert report["dropped"] == {"repeated rows of users": 1}


_TEN_MILLION = """
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from lmn_tf.data.preparers import prepare
folder = sys.argv[1]
draw = np.random.default_rng(0)
schema = pa.schema([("user_id", pa.int64()), ("item_id", pa.int64()), ("time", pa.int64())])
import os
os.mkdir(folder + "/log")
with pq.ParquetWriter(folder + "/log/log.parquet", schema) as writer:
    for _ in range(20):
        users = (200_000 * draw.random(500_000) ** 2).astype(np.int64)
        items = (100_000 * draw.random(500_000) ** 3).astype(np.int64)
        times = draw.integers(1_600_000_000, 1_610_000_000, 500_000)
        writer.write_table(pa.table([users, items, times], schema=schema))
report = prepare("interactions", folder + "/log", folder + "/out",
                 user="user_id", item="item_id", time="time")
rows = sum(split["rows"] for split in report["rows"].values())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_ten_million_interactions_in_three_gibibytes(tmp_path, root):
    run = subprocess.run(
        [sys.executable, "-c", _TEN_MILLION, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    rows, kibibytes = map(int, run.stdout.split()[-2:])
    assert rows > 19_000_000
    assert kibibytes < 3 * 1024**2
