import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.formats.parquet import open_parquet
from lmn_tf.data.reading.checksum import write_checksum


@pytest.fixture
def path(tmp_path):
    table = pa.table(
        {
            "x": list(range(100)),
            "name": [f"n{i % 7}" for i in range(100)],
            "tags": [["a", "b"][: i % 3] for i in range(100)],
        }
    )
    path = str(tmp_path / "a.parquet")
    pq.write_table(table, path, row_group_size=40)
    return path


def test_row_groups_are_units(path):
    units = open_parquet(path)
    assert [(unit.rows, unit.first_row) for unit in units] == [(40, 0), (40, 40), (20, 80)]
    assert units[0].names == ("x", "name", "tags")


def test_projection_and_dictionaries(path):
    (table,) = open_parquet(path)[1].tables(["tags", "name"])
    assert table.column_names == ["tags", "name"]
    assert pa.types.is_dictionary(table.schema.field("name").type)
    assert pa.types.is_dictionary(table.schema.field("tags").type.value_type)
    assert table["name"].to_pylist() == [f"n{i % 7}" for i in range(40, 80)]
    assert table["tags"].to_pylist() == [["a", "b"][: i % 3] for i in range(40, 80)]


@pytest.mark.parametrize("chunk", [7, 40, 1000])
@pytest.mark.parametrize("start", [0, 7, 13, 39, 40])
@pytest.mark.parametrize("stop", [None, 14, 39, 40])
def test_parts_of_a_unit(path, monkeypatch, chunk, start, stop):
    monkeypatch.setattr("lmn_tf.data.formats.parquet._CHUNK_ROWS", chunk)
    tables = list(open_parquet(path)[1].tables(["x"], start, stop))
    assert all(0 < table.num_rows <= chunk for table in tables)
    rows = [x for table in tables for x in table["x"].to_pylist()]
    assert rows == list(range(40, 80))[start:stop]


def test_a_missing_column(path):
    with pytest.raises(
        ValueError, match="a.parquet: column `nam` must be in the file. Did you mean `name`"
    ):
        next(open_parquet(path)[0].tables(["nam"]))


def test_truncated(path):
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - 20)
    with pytest.raises(ValueError, match="a.parquet: the file must be a whole Parquet file"):
        open_parquet(path)


def test_broken_in_the_middle(path):
    with open(path, "rb+") as file:
        file.seek(4)
        file.write(b"\xff" * 300)
    with pytest.raises(ValueError, match="a.parquet: the file must be a whole Parquet file"):
        for unit in open_parquet(path):
            list(unit.tables(["x", "name", "tags"]))


def test_no_rows(tmp_path):
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "a.parquet")
    assert open_parquet(str(tmp_path / "a.parquet")) == []


def test_a_column_twice(tmp_path):
    path = str(tmp_path / "a.parquet")
    columns = [pa.array([1, 2]), pa.array([3, 4]), pa.array([5, 6])]
    pq.write_table(pa.Table.from_arrays(columns, names=["c", "c", "d"]), path)
    (unit,) = open_parquet(path)
    with pytest.raises(
        ValueError, match="column `c` must be in the file once. Received: 2 columns of that name"
    ):
        next(unit.tables(["c"]))
    assert next(unit.tables(["d"]))["d"].to_pylist() == [5, 6]


def test_a_file_replaced_by_one_of_other_row_groups(tmp_path):
    table, path = pa.table({"a": range(1_000)}), str(tmp_path / "a.parquet")
    pq.write_table(table, path, row_group_size=200)
    units = open_parquet(path)
    assert sum(part.num_rows for part in units[0].tables(["a"])) == 200
    pq.write_table(table, path + ".new", row_group_size=10)
    os.replace(path + ".new", path)
    with pytest.raises(ValueError, match="a.parquet: the file must stay as it is while it is read"):
        list(units[1].tables(["a"]))


def test_a_file_rewritten_while_a_row_group_is_read(tmp_path):
    table, path = pa.table({"a": range(1_000)}), str(tmp_path / "a.parquet")
    pq.write_table(table, path)
    tables = open_parquet(path)[0].tables(["a"])
    next(tables)
    pq.write_table(table.slice(1), path)
    with pytest.raises(ValueError, match="a.parquet: the file must stay as it is while it is read"):
        list(tables)


def test_a_damaged_page_is_noticed_where_it_has_a_checksum(tmp_path):
    values, path = np.arange(1_000), tmp_path / "a.parquet"
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"a": values}), path, **options)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(values[500].tobytes(), values[501].tobytes(), 1))
    with pytest.raises(ValueError, match="must be a whole Parquet file.*CRC"):
        list(open_parquet(str(path))[0].tables(["a"]))


def test_a_row_group_with_fewer_rows_than_it_says(path, monkeypatch):
    unit = open_parquet(str(path))[0]
    unit._rows += 1
    with pytest.raises(
        ValueError, match=r"must be a whole Parquet file.*Received: \d+ of \d+ rows"
    ):
        list(unit.tables(unit.names))


def test_every_flipped_bit_is_noticed_where_there_is_a_checksum(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": range(100)}), path)
    write_checksum(path)
    units = open_parquet(str(path))
    assert sum(part.num_rows for part in units[0].tables(["a"])) == 100
    raw = path.read_bytes()
    for at in range(0, len(raw) // 2, 5):  # the second half is the footer
        damaged = bytearray(raw)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        os.utime(path, ns=(0, at + 1))
        with pytest.raises(ValueError, match="a.parquet: the file must have the SHA-256 noted in"):
            list(open_parquet(str(path))[0].tables(["a"]))


def test_names_that_are_no_text(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"xyzxyz": [1]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"xyzxyz", b"\xeb\xff\xffxyz"))
    with pytest.raises(ValueError, match="must be a whole Parquet file.*'utf-8' codec"):
        open_parquet(str(path))
