import os

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.formats import match_files, open_files
from lmn_tf.data.formats.unit import Unit
from lmn_tf.specs.errors import UserError


class Numbers(Unit):
    """A unit of the numbers 0..9 in tables of 4."""

    @property
    def rows(self):
        return 10

    def _stream(self, columns, skip):
        for start in range(skip, 10, 4):
            yield pa.table({"x": list(range(start, min(start + 4, 10)))}).select(columns)


@pytest.mark.parametrize("start", range(11))
def test_any_part_can_be_read(start):
    unit = Numbers(__file__, ["x"])
    for stop in [*range(start, 11), None]:
        tables = list(unit.tables(["x"], start, stop))
        assert [x for table in tables for x in table["x"].to_pylist()] == list(range(10))[
            start:stop
        ]
        assert all(table.num_rows for table in tables)


def test_a_missing_column():
    with pytest.raises(ValueError, match="test_unit.py: column `y` must be in the file."):
        Numbers(__file__, ["x"]).check_columns(["x", "y"])


def test_files_are_sorted_and_named_once(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        (tmp_path / name).write_text("x\n1\n")
    found = match_files([str(tmp_path / "*.csv"), tmp_path / "b.csv"])
    assert found == [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]


def test_a_file_is_read_once_under_all_its_spellings(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    for name in ("x/a.csv", "x/b.csv", "a.csv"):
        (tmp_path / name).write_text("x\n1\n")
    monkeypatch.chdir(tmp_path)
    spellings = ["x/a.csv", "x/./a.csv", "x/../x/a.csv", "link/a.csv", str(tmp_path / "x/a.csv")]
    assert match_files(spellings) == [str(tmp_path / "x/a.csv")]
    assert match_files(["x/*.csv", "x/./a.csv", "a.csv"]) == ["a.csv", "x/./a.csv", "x/b.csv"]


def test_formats_can_be_mixed(tmp_path):
    (tmp_path / "a.csv").write_text("x\n1\n")
    pq.write_table(pa.table({"x": [2, 3]}), tmp_path / "b.parquet")
    assert [unit.rows for unit in open_files(str(tmp_path / "*"))] == [1, 2]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_some_files_but_not_all_may_have_no_rows(tmp_path, kind):
    table = pa.table({"x": [1, 2]})
    write = pq.write_table if kind == "parquet" else pa.csv.write_csv
    for name in "ac":
        write(table.slice(0, 0), tmp_path / f"{name}.{kind}")
    with pytest.raises(UserError, match=f"a.{kind}: the file must hold at least one row. Received"):
        open_files(str(tmp_path / "*"))
    write(table, tmp_path / f"b.{kind}")
    (unit,) = open_files(str(tmp_path / "*"))
    assert unit.path.endswith(f"b.{kind}") and unit.rows == 2


def test_no_file_matches(tmp_path):
    with pytest.raises(ValueError, match=r"no file matches .*train-\*.parquet$"):
        match_files(str(tmp_path / "train-*.parquet"))
    with pytest.raises(ValueError, match=r"no file matches .*\(folder .*nowhere does not exist\)"):
        match_files(str(tmp_path / "nowhere" / "*.parquet"))


def test_an_empty_file(tmp_path):
    (tmp_path / "a.parquet").touch()
    with pytest.raises(
        ValueError, match="a.parquet: the file must not be empty. Received: 0 bytes"
    ):
        open_files(str(tmp_path / "*"))


def test_an_unknown_ending(tmp_path):
    (tmp_path / "a.xlsx").write_text("x")
    with pytest.raises(ValueError, match="name must end in .parquet, .csv, .*Received: a.xlsx"):
        open_files(str(tmp_path / "*"))


def test_data_are_in_files(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "a.csv").write_text("x\n1\n")
    assert match_files(str(tmp_path / "*.csv")) == [str(tmp_path / "a.csv")]
    (tmp_path / "up").symlink_to(tmp_path)
    assert match_files(str(tmp_path / "**" / "*.csv")) == [str(tmp_path / "a.csv")]
    os.mkfifo(tmp_path / "pipe.csv")
    for pattern in ("*.csv", "pipe.csv"):
        with pytest.raises(UserError, match="data must be in files. Received: a named pipe"):
            match_files(str(tmp_path / pattern))
    with pytest.raises(UserError, match="/dev/zero: data must be in files. Received: a device"):
        match_files("/dev/zero")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    with pytest.raises(UserError, match="loop.csv: data must be in files. Received: a link that"):
        match_files(str(tmp_path / "loop.csv"))
    with pytest.raises(UserError, match="no file matches") as caught:
        match_files("x" * 5000)
    assert len(str(caught.value)) < 500


def test_checksums_are_no_data(tmp_path):
    for name in ("a.parquet", "a.parquet.sha256"):
        (tmp_path / name).write_text("x")
    assert match_files(str(tmp_path / "a*")) == [str(tmp_path / "a.parquet")]
    with pytest.raises(ValueError, match="no file matches"):
        match_files(str(tmp_path / "*.sha256"))
