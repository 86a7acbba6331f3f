import json
import math
import os

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


def test_a_folder_appears_whole(tmp_path):
    path = tmp_path / "new" / "folder"
    with atomic_files.atomic_folder(path) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a.txt").write_text("whole")
        assert not path.exists() and temporary.parent == path.parent
    assert (path / "inner" / "a.txt").read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def fill_and_fail(context):
    with pytest.raises(RuntimeError, match="stop"), context as temporary:
        (temporary / "a.txt").write_text("half")
        raise RuntimeError("stop")


def test_a_folder_that_fails_is_not_made(tmp_path):
    fill_and_fail(atomic_files.atomic_folder(tmp_path / "folder"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_only_replaced_on_request(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(OSError, match="not empty"), atomic_files.atomic_folder(path):
        pass
    fill_and_fail(atomic_files.atomic_folder(path, replace=True))
    assert (path / "old.txt").read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with atomic_files.atomic_folder(path, replace=True) as temporary:
        (temporary / "a.txt").write_text("new")
    assert [item.name for item in path.iterdir()] == ["a.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_can_not_be_put_in_place_gives_the_old_one_back(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    rename, moved = os.replace, []

    def refuse_the_second(source, target):
        moved.append(target)
        if len(moved) == 2:
            raise OSError("no room")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_second)
    with pytest.raises(OSError, match="no room"), atomic_files.atomic_folder(path, replace=True):
        pass
    assert (path / "old.txt").read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_folder_behind_a_link_is_filled_where_it_lies(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "link"
    link.symlink_to("disk")
    with atomic_files.atomic_folder(link) as temporary:
        (temporary / "a.txt").write_text("whole")
    assert link.is_symlink() and (tmp_path / "disk" / "a.txt").read_text() == "whole"


def test_content_moves_into_a_folder_that_is_there(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "mine.txt").write_text("mine")
    fill_and_fail(atomic_files.atomic_content(tmp_path, last="a.txt"))
    assert (tmp_path / "a.txt").read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    rename, moved = os.replace, []
    monkeypatch.setattr(os, "replace", lambda *paths: (moved.append(paths[1].name), rename(*paths)))
    with atomic_files.atomic_content(tmp_path, last="a.txt") as temporary:
        for name in ("a.txt", "b.txt"):
            (temporary / name).write_text("new")
    assert moved == ["b.txt", "a.txt"]
    held = {item.name: item.read_text() for item in tmp_path.iterdir()}
    assert held == {"a.txt": "new", "b.txt": "new", "mine.txt": "mine"}


def test_a_file_or_folder_is_removed_at_once(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")
    for name in ("folder", "kept"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("old")
    (tmp_path / "link").symlink_to("kept")
    for name in ("a.txt", "link"):
        atomic_files.remove(tmp_path / name)
    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before
        atomic_files.remove(tmp_path / "folder")
    assert not (tmp_path / "folder").exists() and len(list(tmp_path.iterdir())) == 2
    atomic_files.remove_leftovers(tmp_path)
    assert [item.name for item in tmp_path.rglob("*")] == ["kept", "a.txt"]
    with pytest.raises(FileNotFoundError, match="gone"):
        atomic_files.remove(tmp_path / "gone")


def test_every_file_is_flushed_before_the_folder_is_in_place(tmp_path, monkeypatch):
    flushed, flush = [], atomic_files._flush

    def note(path):
        flushed.append(path.name)
        assert (tmp_path / "a").exists() == (path == tmp_path)
        flush(path)

    monkeypatch.setattr(atomic_files, "_flush", note)
    with atomic_files.atomic_folder(tmp_path / "a") as temporary:
        (temporary / "inner").mkdir()
        for index in range(40):
            (temporary / "inner" / f"{index}").write_text("whole")
    assert sorted(flushed[:41]) == sorted(["inner", *map(str, range(40))])
    assert flushed[41:] == [temporary.name, tmp_path.name]


def test_a_file_that_can_not_be_flushed_leaves_no_folder(tmp_path, monkeypatch):
    def fail(path):
        raise OSError("no room")

    monkeypatch.setattr(atomic_files, "_flush", fail)
    with pytest.raises(OSError, match="no room"):
        with atomic_files.atomic_folder(tmp_path / "a") as temporary:
            (temporary / "a.txt").write_text("half")
    assert list(tmp_path.iterdir()) == []
