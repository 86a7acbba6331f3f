"""The table of `feature_specs/README.md`: what a value becomes. As a program, rewrites it."""

import datetime
import decimal
import pathlib
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq
from id_forms import write_csv, write_tfrecord

from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.formats import open_files
from lmn_tf.serving.request_rows import id_array
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.lookup import Lookup

PAGE = pathlib.Path(__file__).resolve().parents[2] / "feature_specs" / "README.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
PLACE = SourceLocation.of_rows("FILE", "COLUMN", 0)
HEADER = [
    "given in",
    "as",
    "value",
    "its id",
    "`learn`, `vocabulary`",
    "`hash: 1000`",
    "`identity: 100`",
]
DAY = datetime.date(2024, 1, 31)
BIG = 2**64 - 1


def _decimal(text):
    return pa.array([decimal.Decimal(text)], pa.decimal128(10, 2))


ARROW = [
    ("int8 to int64", "7", pa.array([7])),
    ("uint8 to uint64", "7", pa.array([7], pa.uint64())),
    ("uint64", str(BIG), pa.array([BIG], pa.uint64())),
    ("bool", "true", pa.array([True])),
    ("float64", "7.0", pa.array([7.0])),
    ("float64", "7.5", pa.array([7.5])),
    ("float64", "9007199254740992.0 (2^53)", pa.array([2.0**53])),
    ("float32", "16777216.0 (2^24)", pa.array([2.0**24], pa.float32())),
    ("float64", "NaN", pa.array([float("nan")])),
    ("float64", "infinity", pa.array([float("inf")])),
    ("decimal(10, 2)", "7.00", _decimal("7.00")),
    ("decimal(10, 2)", "7.50", _decimal("7.50")),
    ("string, large_string, dictionary", "7", pa.array(["7"])),
    ("string, large_string, dictionary", "007", pa.array(["007"])),
    ("date32, date64", "2024-01-31", pa.array([DAY])),
    ("timestamp", "2024-01-31 00:00", pa.array([datetime.datetime(2024, 1, 31)])),
    ("binary", "7", pa.array([b"7"])),
    ("any", "null", pa.array([None], pa.string())),
]
CSV = [
    "7", "007", " 7", "+7", "7.0", "1e5", "0x10", "10.10", str(BIG), "2024-01-31", "true", "nan",
    None,
]  # fmt: skip
TFRECORD = [("int64", "7"), ("float", "7.0"), ("bytes", "7"), ("bytes", "007"), ("bytes", None)]
PYTHON = [7, "7", "007", 7.0, True, BIG, DAY, float("nan"), None]


def given():
    """Yields format, type, value as written, and the Arrow array that it is read as."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        for kind, value, array in ARROW:
            pq.write_table(pa.table({"c": array}), path / "a.parquet")
            yield "Parquet, Arrow", kind, f"`{value}`", _read(path / "a.parquet")
        for value in CSV:
            array = _read(write_csv(path, "csv", [value], [[]]))
            yield "CSV, TSV", "cell", f"`{value}`" if value else "empty", array
        for kind, value in TFRECORD:
            array = _read(write_tfrecord(path, kind, [value], [[]]))
            yield "TFRecord", kind, f"`{value}`" if value else "no value", array
    for value in PYTHON:
        kind = "None" if value is None else type(value).__name__
        yield "Python", kind, f"`{value}`", id_array([value], "rows", "c")


def _read(path):
    (unit,) = open_files(str(path), texts=["c"])
    return next(unit.tables(["c"]))["c"].combine_chunks()


def page_table():
    """Returns the lines of the table."""
    rows = [HEADER, ["---"] * len(HEADER)]
    for form, kind, value, array in given():
        try:
            (text,) = as_texts(as_keys(array, PLACE)).to_pylist()
        except UserError as error:
            rule = str(error).split("`COLUMN`")[1].split(". Received")[0]
            rule = rule.removeprefix(", row 1:").strip()
            rows.append([form, kind, value, f"refused: {rule}", "", "", ""])
            continue
        cells = [f"`{text}`", f"the line `{text}`", _id(array, hash=1000), _id(array, identity=100)]
        if text is None:
            cells = ["missing", "`default`, or 1", "`default`, or 1", "`default`, or 1"]
        rows.append([form, kind, value, *cells])
    return ["| " + " | ".join(row) + " |" for row in rows]


def _id(array, **lookup):
    try:
        (id_,) = IdEncoder("c", Lookup(**lookup), None).encode(array, PLACE)
    except UserError:
        return "refused"
    return f"{id_} (unknown)" if id_ == 1 else str(id_)


def _parts():
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    table, after = rest.split(END)
    return before + BEGIN, table, END + after


def test_the_table_says_what_values_become():
    assert _parts()[1].splitlines() == page_table()


if __name__ == "__main__":
    first, _, last = _parts()
    PAGE.write_text(first + "\n".join(page_table()) + "\n" + last, encoding="utf-8")
