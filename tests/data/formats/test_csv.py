import gzip

import pyarrow as pa
import pytest

from lmn_tf.data.formats.csv import CsvTypes, open_csv


def write(folder, text, name="a.csv"):
    path = folder / name
    if name.lower().endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return str(path)


def read(path, columns, lists=None, numbers=(), texts=(), types=None, delimiter=None, **options):
    (unit,) = open_csv(path, types or CsvTypes(lists or {}, numbers, texts), delimiter)
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


def test_lists_without_a_separator_stay_text(tmp_path):
    path = write(tmp_path, "a,b\n1,x\n 2,\n,x\n")
    column = read(path, ["a"], lists={"a": None}, texts=["a"])["a"]
    assert column.to_pylist() == ["1", " 2", None]


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
@pytest.mark.parametrize("block", [4 << 20, 4])
def test_an_empty_line_of_one_column_is_a_row(end, block, tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", block)
    path = str(tmp_path / "a.csv")
    with open(path, "w", newline="") as file:
        file.write("c\na\n\nb" + end)
    (unit,) = open_csv(path, CsvTypes({}, (), ["c"]))
    found = pa.concat_tables(unit.tables(["c"]))["c"]
    assert found.to_pylist() == ["a", None, "b"] and unit.rows == 3


def test_texts_stay_as_they_are(tmp_path):
    cells = ["007", "7", "1e5", "0x10", "10.10", "2024-01-31", "nan", " a", '"b "', "", " "]
    path = write(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    found = read(path, ["x"], texts=["x"], numbers=["x"])["x"].to_pylist()
    assert found == [*cells[:8], "b ", None, " "]
    path = write(tmp_path, "x\n007| a||b\n\n7\n")
    found = read(path, ["x"], lists={"x": "|"}, texts=["x"])["x"].to_pylist()
    assert found == [["007", " a", None, "b"], [], ["7"]]


@pytest.mark.parametrize("cells", [["1", "-5", ""], [str(2**63 - 1), str(-(2**63))]])
def test_texts_of_integers_come_as_integers(tmp_path, cells):
    path = write(tmp_path, "x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    column = read(path, ["x"], texts=["x"])["x"]
    assert column.type == pa.int64()
    assert column.to_pylist() == [int(cell) if cell else None for cell in cells]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.CSV", "a.tsv", "a.TSV", "a.tsv.gz", "a.TSV.GZ"])
def test_endings(tmp_path, name):
    tabs = "tsv" in name.lower()
    path = write(tmp_path, "a\tb\n1\t2\n" if tabs else "a,b\n1,2\n", name)
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


def test_fractions_may_come_after_integers(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 1000)
    path = write(tmp_path, "a,b\n" + "1,1\n" * 1000 + "2.5,1\n,1\n")
    (unit,) = open_csv(path, CsvTypes({}, ()))
    tables = list(unit.tables(["a"]))
    assert tables[0]["a"].type == pa.int64() and tables[-1]["a"].type == pa.float64()
    assert tables[-1]["a"].to_pylist()[-2:] == [2.5, None]
    path = write(tmp_path, "a,b\n3.5,1\nx,1\n", "b.csv")
    with pytest.raises(ValueError, match="column `a`, row 2: the value must be int64.*: 'x'"):
        open_csv(path, unit._types)


def test_text_where_a_number_should_be(tmp_path):
    path = write(tmp_path, "a,b\n1,1|2\ncheap,3|x\n")
    with pytest.raises(ValueError, match="a.csv: column `a`, row 2: .*a number. Received: 'cheap'"):
        read(path, ["a"], numbers=["a"])
    with pytest.raises(ValueError, match="a.csv: column `b`, row 2: .*a number. Received: 'x'"):
        read(path, ["b"], lists={"b": "|"}, numbers=["b"])


def test_header_without_rows(tmp_path):
    assert open_csv(write(tmp_path, "a,b\n"), CsvTypes({}, ())) == []


def test_rows_of_uneven_width(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match="a.csv: the file must be CSV with a header line.*got 3"):
        read(path, ["a"])


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_quote_that_is_never_closed_is_told(tmp_path, name):
    path = write(tmp_path, "a,b\n1,x\n" + '1,"12 inch\n' + "1,x\n" * 9, name)
    (unit,) = open_csv(path, CsvTypes({}, ()))
    with pytest.raises(ValueError, match=f"{name}: the file must be CSV.*quote that is never clos"):
        unit.rows  # noqa: B018


def test_cells_may_have_line_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 64)
    path = write(tmp_path, "a,b\n" + '1,"two\nlines"\n' * 50)
    (unit,) = open_csv(path, CsvTypes({}, (), ["b"]))
    table = pa.concat_tables(unit.tables(["b"]))
    assert unit.rows == 50 and set(table["b"].to_pylist()) == {"two\nlines"}


def test_a_mistake_beyond_the_first_block_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.csv._BLOCK_BYTES", 64)
    path = write(tmp_path, "a,b\n" + "1,2\n" * 50 + "1\n")
    (unit,) = open_csv(path, CsvTypes({}, ()))
    with pytest.raises(ValueError, match="a.csv: the file must be CSV.*Expected 2 columns"):
        unit.rows  # noqa: B018


def test_times_with_a_time_zone(tmp_path):
    path = write(tmp_path, "a,b\n1,2024-01-02T00:00:00Z\n2,2024-01-02 02:00:00+02:00\n")
    table = read(path, ["b"])
    assert str(table["b"].type) == "timestamp[us, tz=UTC]"
    assert len(set(table["b"].to_pylist())) == 1


def test_a_missing_column(tmp_path):
    path = write(tmp_path, "price,b\n1,2\n")
    with pytest.raises(
        ValueError, match="column `prise` must be in the file. Did you mean `price`"
    ):
        read(path, ["prise"])


@pytest.mark.parametrize("delimiter", [";", "|", "\t", " "])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_delimiter(tmp_path, delimiter, name):
    path = write(tmp_path, "a,b\n1,2\n".replace(",", delimiter), name)
    assert read(path, ["b"], delimiter=delimiter).to_pylist() == [{"b": 2}]


def test_the_wrong_delimiter_is_named(tmp_path):
    path = write(tmp_path, "a;b\n1;2\n")
    message = (
        "column `b` must be in the file. Known: `a;b`. Received: 1 other column with the delimiter "
        "',', and ';' in it: give it as `delimiter`"
    )
    with pytest.raises(ValueError, match=message):
        read(path, ["b"])
    with pytest.raises(ValueError, match=r"Received: 2 other columns with the delimiter '\\t'$"):
        read(write(tmp_path, "a\tb\n1\t2\n", "a.tsv"), ["c"])


def test_a_column_twice(tmp_path):
    path = write(tmp_path, "a,b,a\n1,2,3\n")
    with pytest.raises(ValueError, match="`a` must be in the file once. Received: 2 columns of"):
        read(path, ["a"])
    assert read(path, ["b"]).to_pylist() == [{"b": 2}]


def test_a_header_that_is_no_text(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,\xff\n1,2\n")
    with pytest.raises(ValueError, match="a.csv: the file must be CSV.*Received: 'utf-8' codec"):
        open_csv(str(path), CsvTypes({}, ()))


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_file_that_changes_while_it_is_read(tmp_path, name):
    path = write(tmp_path, "a\n" + "1\n" * 100, name)
    (unit,) = open_csv(path, CsvTypes({}, ()))
    assert sum(table.num_rows for table in unit.tables(["a"])) == 100
    write(tmp_path, "a\n" + "1\n" * 99, name)
    with pytest.raises(ValueError, match=f"{name}: the file must stay as it is while it is read"):
        list(unit.tables(["a"]))
