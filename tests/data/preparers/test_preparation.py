import json
import subprocess
import sys

import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.specs.errors import UserError

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_equal_runs_write_equal_bytes(log, prepared):
    first = files(prepared("interactions", log, **NAMED))
    assert first == files(prepared("interactions", log, **NAMED))
    threads = files(prepared("interactions", log, **NAMED, threads=1, memory_limit="300MB"))
    assert first == threads
    other = files(prepared("interactions", log, **NAMED, seed=2))
    assert {name for name in first if first[name] != other[name]}


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


@pytest.mark.parametrize(
    "given",
    [{"negatives": "uniform"}, {"negatives_exclude": "auto"}, {"negatives_per_positive": 4}],
)
def test_negatives_are_of_logs_without_labels(log, tmp_path, given):
    (name,) = given
    file = log / "log.csv"
    file.write_text(file.read_text().replace(",category", ",stars").replace(",c", ","))
    names = {"user": "user_id", "item": "item_id", "time": "time"}
    rated = names | {"label": "stars", "rating_threshold": 2}
    with pytest.raises(UserError, match=f"`{name}` must come with a log without labels, .*{name}="):
        prepare("interactions", log, tmp_path / "out", **rated, **given)
    prepare("interactions", log, tmp_path / "out", **names, **given)


def test_the_length_is_of_inline_histories(log, tmp_path):
    message = "`max_history` must come with history='inline', .*Received: max_history=200"
    with pytest.raises(UserError, match=message):
        prepare("interactions", log, tmp_path / "out", **NAMED, max_history=200)
    prepare("interactions", log, tmp_path / "out", **NAMED, max_history=200, history="inline")


def test_unknown_names(log, tmp_path):
    with pytest.raises(UserError, match="`dataset` must be a data set: .*Did you mean `mind`"):
        prepare("mindd", log, tmp_path / "out")
    with pytest.raises(UserError, match="`sed` must be an option of mind.*Did you mean `seed`"):
        prepare("mind", log, tmp_path / "out", sed=1)


def test_malformed_share_refuses_and_writes_nothing(log, tmp_path):
    with open(log / "log.csv", "a") as file:
        file.write("1,2,yesterday,c\n" * 4)
    with pytest.raises(UserError, match="log.csv:242: `time` must be a readable time.*yesterday"):
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
import pathlib, re, sys
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
# Not `ru_maxrss`, which counts what the process that started this one held.
print(rows, re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
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


PREPARERS = """import dataclasses

from lmn_tf.data.preparers import Column, Plan


def read(sources, options, label=1, *, unit="s"):
    columns = [
        Column("_user", "BIGINT", source="user_id"),
        Column("_item", "BIGINT", source="item_id"),
        Column("_time", "BIGINT", source="time"),
    ]
    sources.csv("log", sources.find("log.csv"), columns)
    sources.engine.table("events", f"SELECT *, {int(label)} AS _label FROM log")
    return Plan("own", "user_id", "item_id", "bought", "time", "time", sampled=False)


def attributes(sources, options):
    plan = read(sources, options)
    rows = "(0, 'b', 2), (0, 'b', 1), (0, 'c', 0), (1, 'a', 3)"
    sources.engine.table("items", f"SELECT * FROM (VALUES {rows}) AS t(_item, color, size)")
    return dataclasses.replace(plan, item_columns=("color", "size"))


def needs(sources, options, unit):
    return None


def bare(sources):
    return None


def forgets(sources, options):
    return None
"""


def test_attributes_repeat_without_an_order(log, prepared, slow_twin, tmp_path, monkeypatch):
    (tmp_path / "attribute_preparers.py").write_text(PREPARERS)
    monkeypatch.syspath_prepend(tmp_path)
    output = prepared("attribute_preparers:attributes", log)
    rows = [row for row in slow_twin.rows(output, "train") if row["item_id"] == 0]
    assert {(row["color"], row["size"]) for row in rows} == {("b", 1)}


def test_a_preparer_of_a_user(log, tmp_path, monkeypatch):
    (tmp_path / "users_preparers.py").write_text(PREPARERS)
    monkeypatch.syspath_prepend(tmp_path)
    report = prepare("users_preparers:read", log, tmp_path / "out", label=0)
    assert report["dataset"] == "own" and report["options"]["label"] == 0
    assert report["options"]["unit"] == "s" and report["rows"]["train"]["rows"] > 0
    for name, message in (
        ("raed", "`users_preparers` has no `raed`. Did you mean `read`"),
        ("needs", "further options with defaults. Received: users_preparers:needs"),
        ("bare", r"further options with defaults. Received: .*:bare\(sources\)"),
        ("forgets", "returns a `lmn_tf.data.preparers.Plan`. Received: .*, which returns None"),
    ):
        with pytest.raises(UserError, match=message):
            prepare(f"users_preparers:{name}", log, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="`unti` must be an option of .*Did you mean `unit`"):
        prepare("users_preparers:read", log, tmp_path / "other", unti=1)
