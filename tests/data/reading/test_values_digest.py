import datetime
import decimal
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.reading.checksum import file_digest
from lmn_tf.data.reading.values_digest import values_digest

COLUMNS = {
    "number": pa.array([1, None, 3, 4, 5], pa.int64()),
    "share": pa.array([0.5, float("nan"), None, -0.0, 1e300]),
    "half": pa.array(np.array([1, 2, 3, 4, 5], np.float16)),
    "text": pa.array(["a", "", None, "böb", "a"]),
    "code": pa.array(["x", "y", "x", None, "y"]).dictionary_encode(),
    "raw": pa.array([b"\x00", b"", None, b"ab", b"c"]),
    "items": pa.array([[1, 2], [], None, [None, 4], [5]], pa.list_(pa.int32())),
    "names": pa.array([["a", "b"], ["ab"], [], None, [""]], pa.list_(pa.string())),
    "pair": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": ""}, {"a": 4}, {"b": "z"}]),
    "seen": pa.array([True, False, None, True, True]),
    "day": pa.array([datetime.date(2024, 1, day) for day in range(1, 6)]),
    "time": pa.array([1, 2, None, 4, 5], pa.timestamp("ns")),
    "price": pa.array([decimal.Decimal("1.10"), None] + [decimal.Decimal("2.00")] * 3),
    "nothing": pa.nulls(5),
}
TABLE = pa.table(COLUMNS)


def digest(path):
    status = os.stat(path)
    return values_digest(str(path), status.st_size, status.st_mtime_ns, status.st_ino)


def write_parquet(table, path, **options):
    pq.write_table(table, path, **options)
    return digest(path)


def write_arrow(table, path, rows=None):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, rows)
    return digest(path)


def test_compression_row_groups_and_batches_do_not_count(tmp_path):
    parquet = {
        write_parquet(TABLE, tmp_path / f"{number}.parquet", **options)
        for number, options in enumerate(
            [
                {"compression": "zstd"},
                {"compression": "none", "row_group_size": 2},
                {"use_dictionary": False, "row_group_size": 1, "data_page_version": "2.0"},
            ]
        )
    }
    arrow = {write_arrow(TABLE, tmp_path / f"{rows}.arrow", rows) for rows in (None, 1, 2, 3)}
    assert len(parquet | arrow) == 1


def test_kinds_of_text_and_lists_do_not_count(tmp_path):
    plain = pa.table({"text": TABLE["text"], "items": TABLE["items"]})
    large = plain.set_column(0, "text", plain["text"].cast(pa.large_string()))
    large = large.set_column(1, "items", plain["items"].cast(pa.large_list(pa.int32())))
    coded = plain.set_column(0, "text", plain["text"].dictionary_encode())
    first = write_arrow(plain, tmp_path / "plain.arrow")
    assert write_arrow(large, tmp_path / "large.arrow") == first
    assert write_arrow(coded, tmp_path / "coded.arrow") == first
    assert write_parquet(plain, tmp_path / "plain.parquet") == first


@pytest.mark.parametrize("name", COLUMNS)
def test_each_value_its_place_and_the_name_of_its_column_count(tmp_path, name):
    column = TABLE[name].combine_chunks()
    first = write_arrow(pa.table({name: column}), tmp_path / "first.arrow")
    assert write_arrow(pa.table({"other": column}), tmp_path / "other.arrow") != first
    assert write_arrow(pa.table({name: column[:4]}), tmp_path / "fewer.arrow") != first
    if name != "nothing":
        turned = pa.table({name: column[::-1]})
        assert write_arrow(turned, tmp_path / "turned.arrow") != first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([["a"], ["b", "c"]], [["a", "b"], ["c"]]),
        ([[], None], [None, []]),
        ([None, 0], [0, None]),
        ([1, 2], [1.0, 2.0]),
        (["1", "2"], ["2", "1"]),
    ],
    ids=["texts", "lists", "empty lists", "missing", "types", "order"],
)
def test_what_is_written_alike_is_told_apart(tmp_path, one, other):
    digests = {
        write_arrow(pa.table({"x": pa.array(values)}), tmp_path / f"{number}.arrow")
        for number, values in enumerate((one, other))
    }
    assert len(digests) == 2


def test_a_part_of_a_larger_column_is_read(tmp_path):
    part = TABLE.slice(1, 3)
    whole = TABLE.take(pa.array([1, 2, 3]))
    assert write_arrow(part, tmp_path / "part.arrow") == write_arrow(
        whole, tmp_path / "whole.arrow"
    )


def test_files_without_rows_have_columns(tmp_path):
    empty = TABLE.slice(0, 0)
    assert write_parquet(empty, tmp_path / "a.parquet") == write_arrow(empty, tmp_path / "a.arrow")
    fewer = write_parquet(empty.select(["number"]), tmp_path / "b.parquet")
    assert fewer != digest(tmp_path / "a.parquet")


def test_other_files_count_by_their_bytes(tmp_path):
    for name, text in (("a.csv", "x\n1\n"), ("b.csv", "x\n1\n"), ("c.csv", "x\n1.0\n")):
        (tmp_path / name).write_text(text)
    digests = [digest(tmp_path / f"{name}.csv") for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_damaged_files_count_by_their_bytes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"PAR1 neither PAR1")
    assert digest(path) == file_digest(path)
