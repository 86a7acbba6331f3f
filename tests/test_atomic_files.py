import json
import math

import pytest

from lmn_tf import atomic_files


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_files.atomic_path(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.suffix == ".txt"
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stop"):
        with atomic_files.atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_word_for_nan(tmp_path):
    atomic_files.write_json(tmp_path / "a.json", {"a": [1.5, math.nan], "b": (math.inf, "ü")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1.5, None], "b": [None, "ü"]}


def test_leftovers_of_a_killed_process_go(tmp_path):
    (tmp_path / ".partial-12345678-a.txt").write_text("half")
    (tmp_path / ".partial-12345678-folder").mkdir()
    (tmp_path / "a.txt").write_text("whole")
    atomic_files.remove_leftovers(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]
