import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmn_tf.data.key_index import KeyIndex

LISTED = {
    "integers": [30, 10, -5],
    "texts": ["b", "007", "a", ""],
    "both": ["b", "7", "007", "30", str(2**64 - 1)],
    "digits": ["10", "7"],
    "long": [2**64, 7],
    "nothing": [],
}


@pytest.mark.parametrize("listed", LISTED)
def test_integers_and_texts_meet(listed):
    values = LISTED[listed]
    index = KeyIndex(values, first=2, absent=1)
    assert len(index) == len(values)
    known = {str(value): place for place, value in enumerate(values, 2)}
    texts = ["b", "7", None, "007", "30", "10", "-5", "", "07", str(2**64 - 1), str(2**64)]
    assert index.find(pa.array(texts)).tolist() == [known.get(text, 1) for text in texts]
    numbers = [7, None, 30, 10, -5, 0, 2**63 - 1]
    assert index.find(pa.array(numbers)).tolist() == [known.get(str(n), 1) for n in numbers]
    assert index.find(pa.array([None, None])).tolist() == [1, 1]


def test_arrow_values():
    index = KeyIndex(pa.array(["b", "7"]))
    assert index.find(pa.array([7, 8])).tolist() == [1, -1]
    assert index.values.to_pylist() == ["b", "7"]


@given(st.lists(st.integers(-3, 12) | st.sampled_from(["a", "01", "+1", " 1"]), max_size=9))
def test_positions(values):
    values = list(dict.fromkeys(values))
    known = {str(value): place for place, value in enumerate(values)}
    index = KeyIndex(values)
    numbers = list(range(-4, 14))
    asked = [*map(str, numbers), "a", "01", "+1", " 1"]
    assert index.find(pa.array(numbers)).tolist() == [known.get(str(n), -1) for n in numbers]
    assert index.find(pa.array(asked)).tolist() == [known.get(text, -1) for text in asked]
