"""The files of the synthetic market."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from lmn_tf.data import synthetic, synthetic_market
from lmn_tf.data.synthetic import ceiling_text, ensure, generate
from lmn_tf.data.synthetic_market import SyntheticMarket, split_of
from lmn_tf.specs.errors import UserError

SMALL = dict(users=60, items=40, rows=1500, history_length=8)


def rows(folder, split):
    return pq.read_table(folder / f"{split}-00000.parquet").to_pylist()


def test_the_same_arguments_write_the_same_files(tmp_path):
    for name in ("a", "b"):
        generate(tmp_path / name, **SMALL)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [
        "oracle.json",
        "report.json",
        "test-00000.parquet",
        "train-00000.parquet",
        "valid-00000.parquet",
    ]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    generate(tmp_path / "c", **SMALL, seed=2)
    assert rows(tmp_path / "a", "test") != rows(tmp_path / "c", "test")


def test_splits_follow_time_and_histories_are_earlier(tmp_path):
    report = generate(tmp_path, **SMALL)
    splits = {split: rows(tmp_path, split) for split in synthetic.SPLITS}
    assert report["rows"] == {split: len(found) for split, found in splits.items()}
    latest = {split: max(row["time"] for row in found) for split, found in splits.items()}
    earliest = {split: min(row["time"] for row in found) for split, found in splits.items()}
    assert latest["train"] < earliest["valid"] and latest["valid"] < earliest["test"]
    for row in splits["test"]:
        times = row["history_time"]
        assert len(times) == len(row["history_item_id"]) == len(row["history_category"]) <= 8
        assert times == sorted(times) and all(moment < row["time"] for moment in times)


def test_one_file_a_day(tmp_path):
    report = generate(tmp_path, **SMALL, by_day=True)
    assert ensure(tmp_path, **SMALL, by_day=True) == report
    files = sorted(tmp_path.glob("day-*.parquet"))
    assert [path.stem for path in files] == list(report["rows"])
    assert files[1].stem == "day-2023-12-15" and len(files) >= 30
    for path in files:
        times = pq.read_table(path)["time"].to_numpy()
        assert {f"day-{day}" for day in times.astype("datetime64[s]").astype("datetime64[D]")} == {
            path.stem
        }
        assert len(times) == report["rows"][path.stem] and np.all(np.diff(times) >= 0)
    assert json.loads((tmp_path / "oracle.json").read_text()).keys() == {"days"}
    assert ceiling_text(tmp_path).startswith("Ceiling on the rows of all days (the true prob")
    assert report["clicks"]["days"] > 100
    with pytest.raises(UserError, match="`by_day` must be the one .*, True. Received: by_day=Fal"):
        ensure(tmp_path, **SMALL)
    with pytest.raises(UserError, match="`by_day` must be true or false. Received: by_day=1"):
        generate(tmp_path, **SMALL, by_day=1)


def test_events_hold_the_same_histories(tmp_path):
    generate(tmp_path / "inline", **SMALL)
    generate(tmp_path / "events", **SMALL, history="events")
    events = pa.ipc.open_file(str(tmp_path / "events" / "events.arrow")).read_all()
    users = events["user_id"].to_numpy()
    items = events["history_item_id"].to_numpy()
    referenced, inline = (rows(tmp_path / name, "valid") for name in ("events", "inline"))
    assert len(referenced) == len(inline)
    for by_reference, row in zip(referenced, inline, strict=True):
        first = np.searchsorted(users, by_reference["user_id"])
        end = first + by_reference["event_count"]
        history = items[max(first, end - 8) : end].tolist()
        assert history == row["history_item_id"] and by_reference["click"] == row["click"]


def test_the_oracle_equals_an_independent_computation(tmp_path):
    generate(tmp_path, **SMALL)
    (chunk,) = SyntheticMarket(**SMALL).chunks()
    test = split_of(chunk["time"]) == 2
    click, logit = chunk["click"][test], chunk["logit"][test]
    oracle = json.loads((tmp_path / "oracle.json").read_text())["test"]
    assert oracle["rows"] == test.sum() and oracle["clicks"] == click.sum()
    assert oracle["auc"] == pytest.approx(roc_auc_score(click, logit), abs=2e-4)
    assert oracle["logloss"] == pytest.approx(log_loss(click, 1 / (1 + np.exp(-logit))), abs=1e-9)
    without = roc_auc_score(click, logit - chunk["pairs"][test])
    assert oracle["auc_without"]["pairs"] == pytest.approx(without, abs=2e-4)
    assert without < oracle["auc"] - 0.05


def test_a_split_without_both_labels_has_no_auc(tmp_path):
    generate(tmp_path, users=2, items=20, rows=3, bias=-100)
    assert json.loads((tmp_path / "oracle.json").read_text())["test"]["auc"] is None
    assert ceiling_text(tmp_path).startswith("No ceiling")


def test_many_chunks_make_one_file_a_split(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_market, "_CELLS", 2000)
    report = generate(tmp_path, **SMALL)
    assert sum(report["rows"].values()) == 1500
    assert pq.ParquetFile(tmp_path / "train-00000.parquet").num_row_groups > 3
    assert len(rows(tmp_path, "train")) == report["rows"]["train"]


def test_a_failed_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("disk full")

    monkeypatch.setattr(synthetic, "_append_rows", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        generate(tmp_path, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_ensure_generates_once(tmp_path):
    ensure(tmp_path, **SMALL)
    before = (tmp_path / "train-00000.parquet").stat().st_mtime_ns
    ensure(tmp_path, **SMALL)
    assert (tmp_path / "train-00000.parquet").stat().st_mtime_ns == before


def test_ensure_refuses_data_of_other_arguments(tmp_path):
    ensure(tmp_path, **SMALL)
    with pytest.raises(UserError, match=r"report.json: `seed` must be .* 1. Received: seed=2"):
        ensure(tmp_path, **SMALL, seed=2)


def test_there_is_no_ceiling_without_both_labels(tmp_path):
    generate(tmp_path, users=2, items=20, rows=3, bias=-100)
    assert json.loads((tmp_path / "oracle.json").read_text())["test"]["auc"] is None
    assert ceiling_text(tmp_path).startswith("No ceiling")


def test_ceiling_text(tmp_path):
    generate(tmp_path, **SMALL)
    oracle = json.loads((tmp_path / "oracle.json").read_text())["test"]
    assert f"AUC {oracle['auc']:.4f}, log loss {oracle['logloss']:.4f}" in ceiling_text(tmp_path)


def test_make_quickstart_prints_what_the_package_has(root):
    called = re.findall(r"from (lmn_tf[\w.]*) import (\w+)", (root / "Makefile").read_text())
    assert called == [("lmn_tf.data.synthetic", "ceiling_text")]


COOCCURRENCE = dict(kind="cooccurrence", rows=800, groups=2, pairs=4, seconds=2)


def test_the_market_of_co_occurrence(tmp_path):
    report = generate(tmp_path, **COOCCURRENCE)
    assert report["mean_history_length"] == 6.0 and report["arguments"]["kind"] == "cooccurrence"
    for row in rows(tmp_path, "test"):
        assert row["category"] == row["item_id"] % 2 and len(row["history_item_id"]) == 6
    oracle = json.loads((tmp_path / "oracle.json").read_text())["test"]
    assert oracle["auc_without"] == {"co_occurrence": 0.5}
    assert "blind to co-occurrence: AUC 0.5000" in ceiling_text(tmp_path)


def test_ensure_tells_the_kinds_of_market_apart(tmp_path):
    assert ensure(tmp_path, **COOCCURRENCE) == ensure(tmp_path, **COOCCURRENCE)
    with pytest.raises(UserError, match="`kind` must be .*, 'cooccurrence'. Received: kind='marke"):
        ensure(tmp_path, rows=800)


def test_ensure_knows_data_made_before_there_were_kinds(tmp_path):
    report = generate(tmp_path, **SMALL)
    del report["arguments"]["kind"]
    (tmp_path / "report.json").write_text(json.dumps(report))
    assert ensure(tmp_path, **SMALL) == report


def test_unknown_kind():
    with pytest.raises(UserError, match=r"`kind` must be market or .*Did you mean `market`\?"):
        generate("unused", kind="markt")


def test_unknown_option():
    with pytest.raises(UserError, match=r"Received: usres=3. Did you mean `users`\?"):
        generate("unused", usres=3)


def test_unknown_history():
    with pytest.raises(UserError, match=r'`history` must be "inline" or "events". .*\'lists\''):
        generate("unused", history="lists")
