import glob
import os

import pytest

from lmn_tf.data.formats.file_glob import file_glob


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.csv", "x/b.csv", "x/y/c.csv", "x/y/[1]/d.csv", "z/.hidden/e.csv", "z/f.txt"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text("a\n1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


PATTERNS = [
    "data/*.csv", "data/**/*.csv", "data/**", "**/*.csv", "**/y/**/*.csv", "d*/**/?.csv", "**",
    "data/x/**/**/*.csv", "data/**/none.csv", "data/none/**/*.csv", "data/**/y/c.csv", "data/[a]*",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_finds_what_glob_finds(pattern, folder):
    wanted = {path.rstrip("/") for path in glob.glob(pattern, recursive=True)}
    found = {path.rstrip("/") for path in file_glob(pattern)}
    assert {path for path in found if os.path.isfile(path)} == {
        path for path in wanted if os.path.isfile(path)
    }
    whole = os.path.abspath(pattern)
    assert {os.path.abspath(path) for path in file_glob(whole) if os.path.isfile(path)} == {
        os.path.abspath(path) for path in wanted if os.path.isfile(path)
    }


def test_a_link_to_a_folder_above_adds_nothing(folder):
    wanted = file_glob("data/**/*.csv")
    assert len(wanted) == 4
    for name in ("x/up", "x/y/up", "z/up"):
        (folder / name).symlink_to(folder)
    assert file_glob("data/**/*.csv") == wanted


def test_links_to_folders_elsewhere_are_followed_once(folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "g.csv").write_text("a\n1\n")
    for name in ("one", "two"):
        (folder / name).symlink_to(tmp_path / "other")
    assert file_glob("data/**/g.csv") == ["data/one/g.csv"]


def test_stars_in_a_row_name_each_file_once(folder):
    (folder / "x/up").symlink_to(folder)
    assert file_glob("data/**/**/**/*.csv") == file_glob("data/**/*.csv")
    assert file_glob("**/**") == file_glob("**")
