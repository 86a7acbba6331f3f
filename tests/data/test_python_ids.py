import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.python_ids import id_array

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
            "row 1: an id must be an integer or text. Received: np.datetime64",
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


def test_an_array_without_axes_is_its_value():
    assert id_array([np.array(7), "a"], "rows", "x").to_pylist() == ["7", "a"]
