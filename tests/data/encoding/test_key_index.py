import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmn_tf.data.encoding.key_index import KeyIndex, ValueIndex

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


def twin(values, asked, first=0, absent=-1):
    known = values.to_pylist()
    return [known.index(x) + first if x in known else absent for x in asked.to_pylist()]


@pytest.mark.parametrize("spread", [10, 10**12])
@pytest.mark.parametrize("asked_size", [3, 500])
@pytest.mark.parametrize(("first", "absent"), [(0, -1), (2, 1), (2, 0)])
def test_integers(spread, asked_size, first, absent):
    rng = np.random.default_rng(1)
    values = pa.array(rng.permutation(300)[:100] * spread - 7 * spread)
    asked = pa.array(rng.integers(-20, 400, asked_size) * spread, mask=rng.random(asked_size) < 0.1)
    found = ValueIndex(values, first, absent).find(asked)
    assert found.dtype == np.int32
    assert found.tolist() == twin(values, asked, first, absent)


def test_the_ends_of_int64():
    ends = pa.array([-(2**63), 2**63 - 1, 0, None])
    assert ValueIndex(pa.array([0, 1])).find(ends).tolist() == [-1, -1, 0, -1]
    assert ValueIndex(ends.drop_null()).find(ends).tolist() == [0, 1, 2, -1]


@pytest.mark.parametrize("end", [2**63 - 1, -(2**63)])
def test_integers_at_the_ends_of_int64(end):
    inner = end - 1 if end > 0 else end + 1
    index = ValueIndex(pa.array([end, inner]))
    asked = [end, None, inner, 0, -end if end > 0 else 2**63 - 1]
    assert index.find(pa.array(asked, pa.int64())).tolist() == [0, -1, 1, -1, -1]


@pytest.mark.parametrize("asked_size", [3, 500])
def test_text(asked_size):
    rng = np.random.default_rng(1)
    values = pa.array([f"v{i}" for i in range(100)])
    asked = pa.array([None if i > 110 else f"v{i}" for i in rng.integers(0, 120, asked_size)])
    index = ValueIndex(values, first=2, absent=1)
    assert len(index) == 100
    assert index.find(asked).tolist() == twin(values, asked, 2, 1)


def test_an_empty_list_and_nothing_asked():
    assert ValueIndex(pa.array([], pa.int64())).find(pa.array([1])).tolist() == [-1]
    assert ValueIndex(pa.array([1])).find(pa.array([], pa.int64())).tolist() == []
