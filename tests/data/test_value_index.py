import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.value_index import ValueIndex


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
