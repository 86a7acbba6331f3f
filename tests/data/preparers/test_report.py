import json

import pytest

from lmn_tf.data.preparers.report import as_markdown

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}


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


def test_shares_are_told_exactly(log, prepared):
    shares = {"test_share": 0.125, "valid_share": 0.005}
    folder = prepared("interactions", log, **NAMED, split="position", **shares)
    text = (folder / "report.md").read_text()
    assert "the last 12.5% (rounded up) are the test, the 0.5% before them (rounded up)" in text


def test_markdown_shows_malformed_rows():
    row = {"file": "a.csv", "line": 3, "problem": "`x` must be a readable BIGINT. Received: y"}
    read = {"log": {"rows": 9, "malformed": 1, "malformed_rows": [row]}}
    text = as_markdown({"dataset": "tiny", "split": {"rule": "All train."}, "read": read})
    assert "| malformed rows of log (of 9) | 1 |" in text
    assert "- `a.csv:3` (log): `x` must be a readable BIGINT. Received: y" in text
