import numpy as np
import pytest

from lmn_tf.data.encoding.source_location import SourceLocation, rows_from
from lmn_tf.specs.errors import UserError

PLACE = SourceLocation.of_rows("a.csv", "price", 100)


def test_rows_count_from_one():
    error = PLACE.error(0, "the value must be a number", "cheap")
    assert isinstance(error, UserError)
    with pytest.raises(
        UserError,
        match="^a.csv: column `price`, row 101: the value must be a number. Received: 'cheap'$",
    ):
        raise error


def test_values_of_lists_know_their_row():
    inner = PLACE.within(np.array([2, 0, 1]))
    assert [inner.row(i) for i in range(3)] == [101, 101, 103]
    assert PLACE.within(np.array([1, 1])).within(np.array([0, 2])).row(1) == 102


def test_picked_values_know_their_row():
    assert PLACE.picked(np.array([4, 2])).row(1) == 103


def test_rows_that_do_not_follow_each_other():
    rows = np.array([3, 7, 20])
    assert SourceLocation.of_rows("a.csv", "price", rows).row(1) == 8
    assert rows_from(rows, 1).tolist() == [7, 20] and rows_from(4, 1) == 5


def test_errors_of_whole_columns():
    with pytest.raises(
        UserError, match="^a.csv: column `price` must hold numbers. Received: date$"
    ):
        raise PLACE.column_error("must hold numbers", "date")
