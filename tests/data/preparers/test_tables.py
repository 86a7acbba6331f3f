import pytest

from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.tables import first_of_item, infer_types, merge_repeats


@pytest.fixture
def engine(tmp_path):
    with Engine(tmp_path) as engine:
        yield engine


def test_merge_repeats_keeps_the_first(engine, tmp_path):
    engine.table("events", "SELECT * FROM (VALUES (1, 2, 9), (1, 2, 5), (1, 3, 7)) t(a, b, _seq)")
    sources = Sources(engine, tmp_path)
    merge_repeats(sources)
    assert sorted(engine.rows("FROM events")) == [(1, 2, 5), (1, 3, 7)]
    assert sources.dropped == {"events that repeat another in every column": 1}


def test_first_of_item_goes_by_time_then_line(engine):
    rows = "(1, 'late', 9, 0), (1, 'second', 5, 2), (1, 'first', 5, 1), (2, 'only', 7, 3)"
    engine.table("events", f"SELECT * FROM (VALUES {rows}) t(_item, kind, _time, _seq)")
    first_of_item(engine, ("kind",))
    assert sorted(engine.rows("SELECT _item, kind FROM items")) == [(1, "first"), (2, "only")]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-20", None], "BIGINT"),
        (["1.5", "2"], "DOUBLE"),
        (["1", "x"], "VARCHAR"),
        (["7", "07"], "VARCHAR"),
        (["nan", "1.0"], "VARCHAR"),
        (["1.10", "1.1"], "VARCHAR"),
        (["1e5", "100000"], "VARCHAR"),
        (["18446744073709551615", "18446744073709551614"], "VARCHAR"),
        ([" 7", "7"], "VARCHAR"),
    ],
)
def test_infer_types(engine, values, kind):
    cells = ", ".join("(NULL)" if value is None else f"('{value}')" for value in values)
    engine.table("log", f"SELECT * FROM (VALUES {cells}) t(x)")
    infer_types(engine, "log", ("x",))
    assert engine.value("SELECT DISTINCT typeof(x) FROM log") == kind


@pytest.mark.parametrize(
    ("value", "kind"), [("7", "BIGINT"), ("1.5", "VARCHAR"), ("1e5", "VARCHAR")]
)
def test_ids_are_integers_or_text(engine, value, kind):
    engine.table("log", f"SELECT '{value}' AS x")
    infer_types(engine, "log", ("x",), ids=("x",))
    assert engine.value("SELECT typeof(x) FROM log") == kind
