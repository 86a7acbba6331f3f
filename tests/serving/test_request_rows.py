import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.serving.request_rows import as_table
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
