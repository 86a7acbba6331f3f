import bz2
import json

import pytest

from lmn_tf.data.preparers import text_files


@pytest.mark.parametrize("block", [7, 4 << 20])
def test_lines_are_numbered_across_blocks(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", block)
    lines = ["é" * (n % 5) for n in range(30)]
    path = tmp_path / "a.txt.bz2"
    path.write_bytes(bz2.compress("\r\n".join(lines).encode("latin-1")))
    batches = list(text_files.line_batches(path, "latin-1", skip=3))
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [row["_line"] for row in found] == list(range(4, 31))
    assert [row["_text"] for row in found] == lines[3:]


@pytest.mark.parametrize("block", [2, 4 << 20])
def test_a_mark_at_the_start_is_no_text(tmp_path, monkeypatch, block):
    monkeypatch.setattr(text_files, "_BLOCK_BYTES", block)
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffa,b\n\ufeffc,d\n".encode())
    texts = [row["_text"] for batch in text_files.line_batches(path) for row in batch.to_pylist()]
    assert texts == ["a,b", "\ufeffc,d"]
    assert text_files.header_of(path, ",") == ["a", "b"]


def test_python_lines_become_json(tmp_path):
    path = tmp_path / "meta.json"
    path.write_text("{'asin': 'B', 'also': ['x'], 'none': None}\n{\"asin\": 1}\n{'broken'\n")
    texts = [line for batch in text_files.json_batches(path) for line in batch["_text"].to_pylist()]
    assert json.loads(texts[0]) == {"asin": "B", "also": ["x"], "none": None}
    assert texts[1:] == ['{"asin": 1}', "{'broken'"]
