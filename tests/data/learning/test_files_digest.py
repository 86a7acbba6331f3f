import shutil

import pytest

from lmn_tf.data.learning.files_digest import files_digest


@pytest.fixture
def folder(tmp_path):
    for name in ("a/x", "b/x"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1")
    return tmp_path


def digest(folder, *names, **options):
    return files_digest([str(folder / name) for name in names], str(folder / "a"), **options)


def test_names_sizes_and_the_limit_are_told_apart(folder):
    digests = [digest(folder, "a/x"), digest(folder, "a/x", "b/x"), digest(folder, "b/x")]
    digests.append(digest(folder, "a/x", limit=3))
    (folder / "a/x").write_text("11")
    digests.append(digest(folder, "a/x"))
    assert len(set(digests)) == len(digests)
    assert digest(folder, "b/x", "a/x") == digest(folder, "a/x", "b/x")


def test_a_moved_folder_has_the_same(folder, tmp_path_factory, monkeypatch):
    names = ("a/x", "b/x")
    moved = shutil.copytree(folder, tmp_path_factory.mktemp("moved") / "all")
    assert digest(moved, *names) == digest(folder, *names)
    monkeypatch.chdir(moved / "a")
    assert files_digest(["x", "../b/x"], "") == digest(folder, *names)
