import pathlib

import pytest

from lmn_tf.data.preparers.cells import index_of, split_cells
from lmn_tf.data.preparers.column import Column
from lmn_tf.specs.errors import UserError

PATH = pathlib.Path("log.csv")


def test_a_column_is_the_first_of_its_headers_that_is_present():
    column = Column("asin", source=("parent_asin", "asin"))
    assert index_of(PATH, column, 0, ["user", "asin", "parent_asin"]) == 2
    assert index_of(PATH, column, 0, ["user", "asin"]) == 1
    assert index_of(PATH, column, 5, None) == 5
    assert index_of(PATH, Column("asin", source=3), 5, None) == 3
    with pytest.raises(
        UserError, match="log.csv:1: column `asin` must be in the file. Received: u"
    ):
        index_of(PATH, column, 0, ["user"])


def test_cells_in_the_order_of_columns():
    cells, wrong = split_cells(PATH, [Column("b"), Column("a")], ["a", "b", "c"], None, "")
    assert cells == ["_cells[2]", "_cells[1]"]
    assert (
        wrong == " WHEN len(_cells) <> 3 THEN 'a line must have 3 cells. Received: ' || len(_cells)"
    )
