import duckdb
import pytest

from lmn_tf.data.preparers.column import Column


@pytest.mark.parametrize(
    ("column", "cell", "value", "problem"),
    [
        (Column("x", "BIGINT"), "'7'", 7, None),
        (Column("x", "BIGINT"), "'7a'", None, "`x` must be a readable BIGINT. Received: 7a"),
        (Column("x", "BIGINT"), "NULL", None, "`x` must be a readable BIGINT. Received: nothing"),
        (Column("x", "BIGINT", required=False), "''", None, None),
        (Column("x", "BIGINT", required=False), "'?'", None, "`x` must be a readable BIGINT. Rec"),
        (Column("x", "DOUBLE"), "'inf'", float("inf"), "`x` must be such that isfinite"),
        (Column("x"), "'  '", None, "`x` must be a readable VARCHAR"),
        (Column("x"), "' a '", "a", None),
        (Column("x", "BIGINT", rule="x > 3"), "'2'", 2, "`x` must be such that x > 3. Received: 2"),
        (Column("x", "BIGINT", parse="2 * CAST({} AS BIGINT)"), "'2'", 4, None),
        (Column("x", ""), "1.5", 1.5, None),
        (Column("x", "BIGINT", required=False), "CAST('nan' AS FLOAT)", None, None),
        (Column("x", "BIGINT", required=False), "'nan'", None, "`x` must be a readable BIGINT. Re"),
        (Column("x", "", None, False, "nullif({}, 'nan')"), "CAST('nan' AS DOUBLE)", None, None),
        (Column("x", "DOUBLE", required=False, rule="x IN (0, 1)"), "''", None, None),
    ],
)
def test_reads_a_cell_or_says_why_not(column, cell, value, problem):
    found, said = duckdb.sql(f"""
SELECT x, CASE {column.problem(cell)} END FROM (SELECT {column.expression(cell)} AS x) AS typed
""").fetchall()[0]
    assert found == value
    assert (said is None) if problem is None else said.startswith(problem)


def test_messages_name_the_column_of_the_file():
    column = Column("_label_value", "DOUBLE", "stars", rule="_label_value IN (0, 1)")
    query = f"SELECT CASE {column.problem('7')} END FROM (SELECT 7.0 AS _label_value) AS typed"
    message = "`stars` must be such that stars IN (0, 1). Received: 7"
    assert duckdb.sql(query).fetchall() == [(message,)]
    assert "`_user`" in Column("_user", source=0).problem("7")


def test_names_in_files():
    assert Column("x").headers == ("x",)
    assert Column("x", source=("a", "b")).headers == ("a", "b")
    assert Column("x", source='a "b"').json_path == '$."a \\"b\\""'
    assert Column("x", source="$.a[0]").json_path == "$.a[0]"
