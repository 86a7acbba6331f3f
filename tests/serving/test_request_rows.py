import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.serving.request_rows import as_table, id_array
from lmn_tf.specs.errors import UserError

WANT = {"user": [7, None], "seen": [[1], []]}
ROWS = [{"user": 7, "seen": [1], "note": 1}, {"seen": [], "user": None, "note": "x"}]


def table(rows):
    return as_table(rows, ("user", "seen"), {"user"})


class Frame:
    """Columns by name that are no dict, as a data frame's."""

    def __init__(self, columns):
        self.columns = columns

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        return self.columns[name]

    def items(self):
        return self.columns.items()


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        {**WANT, "note": [1, "x", 3]},
        pa.table({"seen": WANT["seen"], "note": [1, 2], "user": WANT["user"]}),
        {"user": pa.array(WANT["user"]), "seen": pa.chunked_array([[[1]], [[]]])},
        Frame(WANT),
    ],
)
def test_each_form_gives_the_columns_that_are_read(rows):
    assert table(rows).to_pydict() == WANT and table(rows).column_names == ["user", "seen"]


def test_no_rows_need_no_columns():
    assert table([]).num_rows == 0 and table([]).column_names == ["user", "seen"]


@pytest.mark.parametrize("rows", [7, [1, 2], None, np.zeros(2), [{**ROWS[0]}, "x"]])
def test_what_is_no_table_is_refused(rows):
    with pytest.raises(UserError, match="`rows` must be a list of dicts, a dict of columns"):
        table(rows)


def test_a_row_that_is_no_dict_is_told():
    with pytest.raises(UserError, match="Received: list: row 2 is 5$"):
        table([ROWS[0], 5])


@pytest.mark.parametrize("at", [0, 1])
def test_a_key_that_a_row_lacks_is_named_with_the_row(at):
    rows = [dict(row) for row in ROWS]
    rows[at]["usr"] = rows[at].pop("user")
    match = f"`user` in each row, None where .* row {at + 1} without it. Did you mean `usr`"
    with pytest.raises(UserError, match=match):
        table(rows)


def test_columns_that_nothing_reads_are_no_suggestion():
    with pytest.raises(UserError, match="row 1 without it.$"):
        table([{"seen": [], "note": 1}])


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="`rows` must have the column `user`. Did you mean `usr`"):
        table({"usr": [1], "seen": [[]]})


def test_a_column_twice():
    rows = pa.table([[1], [2], [[]]], names=["user", "user", "seen"])
    with pytest.raises(UserError, match="column `user` once. Received: 2 columns of that name"):
        table(rows)


@pytest.mark.parametrize("values", [3, "abc", None])
def test_a_column_must_be_a_list(values):
    with pytest.raises(UserError, match="column `seen` of `rows` must be a list. Received: "):
        table({"user": [1], "seen": values})


def test_values_of_one_column_must_fit_together():
    with pytest.raises(UserError, match="rows: column `seen` must hold values of one type. Rec"):
        table({"user": [1, 2], "seen": [[1], "x"]})


def test_columns_must_be_of_one_length():
    match = "columns of one length. Received: 2 values in `user`, 1 in `seen`"
    with pytest.raises(UserError, match=match):
        table({"user": [1, 2], "seen": [[1]]})


def test_ids_may_be_of_several_types():
    assert table({"user": [7, "007"], "seen": [[], []]})["user"].to_pylist() == ["7", "007"]


BIG = 2**64 - 1


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([7, "007", True, 7.0, float("nan"), None], ["7", "007", "1", "7", None, None]),
        ([BIG, 7, -1], [str(BIG), "7", "-1"]),
        ([np.uint64(BIG), np.int32(7)], [str(BIG), "7"]),
        ([10**30], [str(10**30)]),
        ([[7, "a"], None, [BIG, None], []], [["7", "a"], None, [str(BIG), None], []]),
        ([np.array([7, 8]), ("a",)], [["7", "8"], ["a"]]),
        ([[[1]], [["a"], []]], [[["1"]], [["a"], []]]),
        (["a", datetime.date(2024, 1, 31), decimal.Decimal("7.0")], ["a", "2024-01-31", "7"]),
        ([2**53 + 1, 1.0], [str(2**53 + 1), "1"]),
    ],
)
def test_values_of_several_types_become_texts(values, wanted):
    assert id_array(values, "rows", "x").to_pylist() == wanted


@pytest.mark.parametrize("values", [[1, None], ["a"], [[1], []], np.array([1.0, 2.0]), []])
def test_values_of_one_type_stay(values):
    assert id_array(values, "rows", "x").equals(pa.array(values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            ["a", 1.5],
            "rows: column `x`, row 2: the value must be an integer or text. Received: 1.5",
        ),
        ([["a"], ["b", 2.0**60]], "row 2: an id of type double must be smaller than"),
        (
            [np.datetime64("NaT")],
            r"row 1: an id must be an integer or text. Received: (np|numpy)\.datetime64",
        ),
        ([2**64, np.datetime64("NaT")], "row 2: an id must be an integer or text"),
        (["a", object()], "row 2: an id must be an integer or text. Received: <object"),
        (["a", {"b": 1}], "column `x` must hold integers, text or dates.* Received: struct"),
    ],
)
def test_values_that_are_no_ids(values, message):
    with pytest.raises(ValueError, match=message):
        id_array(values, "rows", "x")


@pytest.mark.parametrize("values", [["a\udcff"], [1, [2, "a"]], [[7], 7], [[1], "a"], ["a", [[1]]]])
def test_ids_beside_lists_of_them(values):
    with pytest.raises(ValueError, match="rows: column `x` must hold ids, or lists of ids"):
        id_array(values, "rows", "x")


@pytest.mark.parametrize("depth", [400, 700, 960])
@pytest.mark.parametrize("beside", [7, "a", [1]])
def test_ids_beside_lists_of_great_depth(depth, beside):
    deep = []
    for _ in range(depth):
        deep = [deep]
    with pytest.raises(UserError, match="rows: column `x` must hold ids, or lists of ids. Rec"):
        id_array([deep, beside], "rows", "x")


def test_an_array_without_axes_is_its_value():
    assert id_array([np.array(7), "a"], "rows", "x").to_pylist() == ["7", "a"]
