import gzip

import pyarrow as pa
import pytest

from lmn_tf.data.formats.csv import CsvTypes, open_csv


def write(folder, text, name="a.csv"):
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def read(path, columns, lists=None, numbers=(), types=None, **options):
    (unit,) = open_csv(path, types or CsvTypes(lists or {}, numbers))
    return pa.concat_tables(unit.tables(columns, **options))


def test_types_follow_from_the_cells(tmp_path):
    path = write(tmp_path, "a,b,c,d,e\n1,1,x,2020-01-01 00:00:00,\n,2.5,,2020-01-02 00:00:00,\n")
    table = read(path, ["d", "a", "b", "c", "e"])
    assert [str(kind) for kind in table.schema.types] == [
        "timestamp[us]",
        "int64",
        "double",
        "string",
        "string",
    ]
    assert table["a"].to_pylist() == [1, None] and table["c"].to_pylist() == ["x", None]


def test_lists_are_split(tmp_path):
    path = write(tmp_path, "a,b,c\n1|2,x|y|,1;2\n,x,\n3,,4\n")
    table = read(path, ["a", "b", "c"], lists={"a": "|", "b": "|", "c": ";"}, numbers=["c"])
    assert table["a"].to_pylist() == [[1, 2], [], [3]]
    assert table["b"].to_pylist() == [["x", "y", None], ["x"], []]
    assert table["c"].to_pylist() == [[1.0, 2.0], [], [4.0]]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv", "a.tsv.gz"])
def test_endings(tmp_path, name):
    path = write(tmp_path, "a\tb\n1\t2\n" if "tsv" in name else "a,b\n1,2\n", name)
    assert read(path, ["b", "a"]).to_pylist() == [{"b": 2, "a": 1}]


@pytest.mark.parametrize("start", [0, 1, 500, 1999])
def test_rows_and_parts(tmp_path, monkeypatch, start):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 1000)
    path = write(tmp_path, "a,b\n" + "".join(f"{i},t{i}\n" for i in range(2000)))
    (unit,) = open_csv(path, CsvTypes({}, ()))
    assert unit.rows == 2000
    assert read(path, ["a"], start=start, stop=start + 1)["a"].to_pylist() == [start]
    assert len(read(path, ["a"], start=start)) == 2000 - start


def test_types_hold_for_all_blocks_and_files(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 1000)
    path = write(tmp_path, "a,b\n" + "1,1\n" * 1000 + "x,2.5\n")
    types = CsvTypes({}, ["b"])
    assert read(path, ["b"], types=types)["b"].to_pylist()[-1] == 2.5
    message = (
        "a.csv: column `a`, row 1001: the value must be int64, as in the first rows. Received: 'x'"
    )
    with pytest.raises(ValueError, match=message):
        read(path, ["a"], types=types)


def test_text_where_a_number_should_be(tmp_path):
    path = write(tmp_path, "a,b\n1,1|2\ncheap,3|x\n")
    with pytest.raises(ValueError, match="a.csv: column `a`, row 2: .*a number. Received: 'cheap'"):
        read(path, ["a"], numbers=["a"])
    with pytest.raises(ValueError, match="a.csv: column `b`, row 2: .*a number. Received: 'x'"):
        read(path, ["b"], lists={"b": "|"}, numbers=["b"])


def test_header_without_rows(tmp_path):
    with pytest.raises(ValueError, match="a.csv: the file must hold at least one row"):
        open_csv(write(tmp_path, "a,b\n"), CsvTypes({}, ()))


def test_rows_of_uneven_width(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match="a.csv: the file must be CSV with a header line.*got 3"):
        read(path, ["a"])


def test_a_missing_column(tmp_path):
    path = write(tmp_path, "price,b\n1,2\n")
    with pytest.raises(
        ValueError, match="column `prise` must be in the file. Did you mean `price`"
    ):
        read(path, ["prise"])
