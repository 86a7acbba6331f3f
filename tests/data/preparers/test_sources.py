import decimal
import gzip
import lzma
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.specs.errors import UserError

COLUMNS = [Column("user", "BIGINT"), Column("score", "DOUBLE", rule="score >= 0")]


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "work").mkdir()
    with Engine(tmp_path / "work") as engine:
        yield Sources(engine, tmp_path, max_malformed=0.5)


def test_malformed_rows_are_counted_and_shown(tmp_path, sources):
    path = tmp_path / "log.tsv"
    path.write_bytes(b"1\t2\nx\t1\n1\t-1\n1\t2\t3\n2\tnan\n\xff\t1\n3\t\r\n" + b"7\t1\r\n" * 9)
    sources.text("log", [path], COLUMNS, "\t")
    assert sources.engine.value("SELECT count(*) FROM log") == 10
    read = sources.tables["log"]
    assert (read["rows"], read["malformed"]) == (16, 6)
    assert [row["line"] for row in read["malformed_rows"]] == [2, 3, 4, 5, 6, 7]
    problems = [row["problem"] for row in read["malformed_rows"]]
    assert problems[0] == "`user` must be a readable BIGINT. Received: x"
    assert problems[1] == "`score` must be such that score >= 0. Received: -1"
    assert problems[2] == "a line must have 2 cells. Received: 3"
    assert problems[4] == "a line must be utf-8 text"


def test_at_most_twenty_malformed_rows_are_shown(tmp_path, sources):
    path = tmp_path / "log.tsv"
    path.write_text("x\t1\n" * 30 + "1\t1\n" * 30)
    sources.text("log", [path], COLUMNS, "\t")
    assert sources.tables["log"]["malformed"] == 30
    assert len(sources.tables["log"]["malformed_rows"]) == 20


def test_too_many_malformed_rows_name_the_first(tmp_path, sources):
    path = tmp_path / "log.tsv"
    path.write_text("1\t1\n" + "x\t1\n" * 2)
    with pytest.raises(UserError, match="log.tsv:2: `user` must be .* 2 of 3 rows of log are mal"):
        sources.text("log", [path], COLUMNS, "\t")


def test_files_of_two_folders_may_have_the_same_name(tmp_path, sources):
    paths = [tmp_path / folder / "log.tsv" for folder in ("dev", "train")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("1\t1\nx\t1\n")
    sources.text("log", paths, COLUMNS, "\t")
    assert sources.files == {"dev/log.tsv": 8, "train/log.tsv": 8}
    rows = sources.tables["log"]["malformed_rows"]
    assert [(row["file"], row["line"]) for row in rows] == [
        ("dev/log.tsv", 2),
        ("train/log.tsv", 2),
    ]
    one = Sources(sources.engine, paths[0], max_malformed=0.5)
    one.text("log", [paths[0]], COLUMNS, "\t")
    assert one.files == {"log.tsv": 8}


def test_no_readable_row(tmp_path, sources):
    path = tmp_path / "log.tsv"
    path.write_text("user\tscore\n")
    with pytest.raises(UserError, match="the file must hold at least one readable row"):
        sources.text("log", [path], COLUMNS, "\t", header=True)


def test_empty_file(tmp_path, sources):
    path = tmp_path / "log.tsv"
    path.write_text("")
    with pytest.raises(UserError, match="log.tsv: the file must hold at least one readable row"):
        sources.text("log", [path], COLUMNS, "\t")
    with pytest.raises(UserError, match="log.tsv: the file must hold at least one row"):
        sources.batches("log", path, iter([]))
    with pytest.raises(UserError, match="the file must begin with a line of column names"):
        sources.text("log", [path], COLUMNS, "\t", header=True)


@pytest.mark.parametrize("empty", ["a", "c"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "tsv"])
def test_one_of_several_files_may_have_no_rows(tmp_path, sources, kind, empty):
    paths = [tmp_path / f"{name}.{kind}" for name in "abc"]
    rows = '{"user": 1, "score": 2}\n' if kind == "jsonl" else "1,2\n"
    for path in paths:
        head = "user,score\n" if kind == "csv" else ""
        path.write_text(head + ("" if path.stem == empty else rows))
    if kind == "csv":
        sources.csv("log", paths, COLUMNS)
    elif kind == "jsonl":
        sources.json_lines("log", paths, COLUMNS, named=True)
    else:
        sources.text("log", paths, COLUMNS, ",")
    assert sources.engine.rows("SELECT user, score FROM log") == [(1, 2.0)] * 2
    if kind == "jsonl":
        wrong = [COLUMNS[0], Column("size", "DOUBLE", required=False)]
        with pytest.raises(UserError, match="jsonl: column `size` must be a key of the objects"):
            sources.json_lines("log", paths, wrong, named=True)


@pytest.mark.parametrize(("ending", "compress"), [(".xz", lzma.compress), (".gz", gzip.compress)])
def test_truncated_files(tmp_path, sources, ending, compress):
    path = tmp_path / f"log.tsv{ending}"
    data = "".join(f"{n * 7919 % 1000}\t{n % 10}\n" for n in range(200_000)).encode()
    path.write_bytes(compress(data))
    sources.text("log", [path], COLUMNS, "\t")
    assert sources.engine.value("SELECT count(*) FROM log") == 200_000
    path.write_bytes(compress(data)[:-2_000])
    with pytest.raises(UserError, match="the file must be readable to its end"):
        sources.text("log", [path], COLUMNS, "\t")


def test_csv_quotes_columns_and_line_numbers(tmp_path, sources):
    path = tmp_path / "log.csv"
    path.write_text('\ufeffnote,user,score\n"two\nlines, ""quoted""",1,2\nplain,x,3\n')
    sources.csv("log", [path], [Column("note"), *COLUMNS])
    assert sources.engine.rows("SELECT note FROM log") == [('two\nlines, "quoted"',)]
    assert sources.tables["log"]["malformed_rows"][0]["line"] == 4


@pytest.mark.parametrize("end", ["", '"12", x\n'])
def test_a_quote_that_is_never_closed_loses_no_rows(tmp_path, sources, end):
    path = tmp_path / "log.csv"
    path.write_text("user,score\n" + "1,2\n" * 500 + '3,"12 inch\n' + "1,2\n" * 500 + end)
    with pytest.raises(UserError, match="log.csv:502: the file must be CSV, with quotes around"):
        sources.csv("log", [path], COLUMNS)


def test_a_mark_before_a_quoted_header(tmp_path, sources):
    path = tmp_path / "log.csv"
    path.write_text('\ufeff"user","score"\n"1","2"\n', encoding="utf-8")
    sources.csv("log", [path], COLUMNS)
    assert sources.engine.rows("SELECT user, score FROM log") == [(1, 2.0)]


def test_csv_mistakes(tmp_path, sources):
    path = tmp_path / "log.csv"
    path.write_text("user,score\n1," + "9" * 200_000 + "\n")
    with pytest.raises(UserError, match="log.csv:2: the file must be CSV"):
        sources.csv("log", [path], COLUMNS)
    path.write_bytes(b"user,score\n\xff,1\n")
    with pytest.raises(UserError, match="log.csv: the file must be utf-8 text"):
        sources.csv("log", [path], COLUMNS)


def test_missing_column_names_the_nearest(tmp_path, sources):
    path = tmp_path / "log.csv"
    path.write_text("users,score\n1,2\n")
    with pytest.raises(UserError, match="log.csv:1: column `user` must be .* Did you mean `users`"):
        sources.csv("log", [path], COLUMNS)


def test_json_lines(tmp_path, sources):
    path = tmp_path / "log.json"
    path.write_text('{"user": 1, "score": 2.5}\n{"user": 1}\n[1\n\n{"user": "9", "score": "1"}\n')
    sources.json_lines("log", [path], COLUMNS)
    assert sources.engine.rows("SELECT user, score FROM log") == [(1, 2.5), (9, 1.0)]
    assert [row["line"] for row in sources.tables["log"]["malformed_rows"]] == [2, 3]


def test_numbers_and_booleans_of_json_have_the_text_of_ids(tmp_path, sources):
    values = ["1", "1.0", "1e0", "-0.0", "true", "false", '"1.0"', '"true"', "2.5", "1e400", "NaN"]
    values += ["9007199254740993", "18446744073709551615", "null"]
    path = tmp_path / "log.json"
    path.write_text("".join(f'{{"user": {value}}}\n' for value in values))
    sources.json_lines("log", [path], [Column("user", "", required=False)])
    found = [row[0] for row in sources.engine.rows('SELECT "user" FROM log ORDER BY _seq')]
    expected = ["1", "1", "1", "0", "1", "0", "1.0", "true", "2.5", "1e400", None]
    assert found == [*expected, "9007199254740993", "18446744073709551615", None]


def test_keys_that_are_named_must_be_there(tmp_path, sources):
    path = tmp_path / "log.json"
    path.write_text('no\n{"user": 1}\n{"user": 2, "größe": 2.5}\n', encoding="utf-8")
    columns = [COLUMNS[0], Column("size", "DOUBLE", "größe", required=False)]
    sources.max_malformed = 1.0
    sources.json_lines("log", [path], columns, named=True)
    assert sources.engine.rows("SELECT user, size FROM log") == [(1, None), (2, 2.5)]
    wrong = [COLUMNS[0], Column("size", "DOUBLE", "grösse", required=False)]
    message = "log.json: column `grösse` must be a key of .*: user, größe. Did you mean `größe`"
    with pytest.raises(UserError, match=message):
        sources.json_lines("log", [path], wrong, named=True)
    sources.json_lines("log", [path], wrong)  # of a publisher, which may lack it


def test_a_key_that_few_objects_have_is_no_mistake(tmp_path, sources, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.preparers.text_files._BLOCK_BYTES", 16)
    path = tmp_path / "log.json"
    path.write_text('{"user": 1}\n' * 9 + '{"user": 2, "score": 2.5}\n')
    columns = [COLUMNS[0], Column("score", "DOUBLE", required=False)]
    sources.json_lines("log", [path], columns, named=True)
    assert sources.engine.value("SELECT count(score) FROM log") == 1


def test_parquet(tmp_path, sources):
    path = tmp_path / "log.parquet"
    pq.write_table(pa.table({"score": [1.0, None, 2.0], "user": ["1", "2", "x"]}), path)
    with pytest.raises(UserError, match="log.parquet:2: `score` must be a readable DOUBLE"):
        sources.parquet("log", [path], COLUMNS)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="log.parquet: the file must be readable Parquet"):
        sources.parquet("log", [path], COLUMNS)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.00", "2.50", "-0.00", None], ["1", "2.5", "0", None]),
        (["0.50", "-0.50"], ["0.5", "-0.5"]),
        (["0.00", "100000000000000000000000"], ["0", "100000000000000000000000"]),
    ],
)
def test_decimals_beside_another_type_have_the_text_of_ids(tmp_path, sources, values, expected):
    decimals = pa.array([value and decimal.Decimal(value) for value in values])
    tables = [pa.table({"user": decimals}), pa.table({"user": ["x"]})]
    assert users_of(sources, tmp_path, tables) == [*expected, "x"]


def test_booleans_beside_another_type_are_0_and_1(tmp_path, sources):
    tables = [pa.table({"user": [True, False, None]}), pa.table({"user": [1]})]
    assert users_of(sources, tmp_path, tables) == ["1", "0", None, "1"]


@pytest.mark.parametrize("other", [["x"], [[1.5]], [{"a": 1}]])
def test_lists_beside_another_type_are_refused(tmp_path, sources, other):
    tables = [pa.table({"user": [["x"]]}), pa.table({"user": other})]
    with pytest.raises(UserError, match="0.parquet: column `user` must have one type in all files"):
        users_of(sources, tmp_path, tables)


def test_nan_in_a_parquet_file_is_found(tmp_path, sources):
    """A file of numbers and NaN, without nulls, has statistics of the numbers alone."""
    nan = float("nan")
    tables = [pa.table({"user": [1.0, nan, 2.5]}), pa.table({"user": ["x"]})]
    assert users_of(sources, tmp_path, tables) == ["1", None, "2.5", "x"]


def users_of(sources, folder, tables):
    """The column `user` of Parquet files with an optional column of any type."""
    paths = [folder / f"{at}.parquet" for at in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        pq.write_table(table, path)
    sources.parquet("log", paths, [Column("user", "", required=False)])
    return [row[0] for row in sources.engine.rows('SELECT "user" FROM log ORDER BY _seq')]


@pytest.mark.parametrize("name", ["log[1]", "lo*", "log?", "**"])
def test_the_path_of_a_parquet_file_is_no_pattern(tmp_path, sources, name):
    for folder, user in (("log1", "1"), (name, "2")):
        (tmp_path / folder).mkdir()
        pq.write_table(pa.table({"user": [user], "score": [1.0]}), tmp_path / folder / "a.parquet")
    sources.parquet("log", [tmp_path / name / "a.parquet"], COLUMNS)
    assert sources.engine.rows("SELECT user FROM log") == [(2,)]


def test_the_path_of_a_parquet_file_has_no_values(tmp_path, sources):
    path = tmp_path / "user=1" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"user": ["2"], "score": [1.0]}), path)
    sources.parquet("log", [path], COLUMNS)
    assert sources.engine.rows("SELECT user FROM log") == [(2,)]


def test_folder_and_files_must_be_there(tmp_path, sources):
    with pytest.raises(UserError, match="`input` must be a folder"):
        Sources(sources.engine, tmp_path / "nowhere")
    with pytest.raises(UserError, match="must hold a.tsv or b.tsv .*Received: .* with work"):
        sources.find("a.tsv", "b.tsv")
    assert sources.find("a.tsv", required=False) == []


def test_what_is_no_file_is_refused(tmp_path, sources):
    os.mkfifo(tmp_path / "log.tsv")
    with pytest.raises(UserError, match="log.tsv: `input` must be files. Received: a named pipe"):
        sources.find("log.tsv")
