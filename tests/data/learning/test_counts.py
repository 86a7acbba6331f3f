import collections

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.learning.counts import ValueCounter

PLACE = SourceLocation.of_rows("a.parquet", "item", 0)


def ranked(counts):
    return [value for value, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_chunks_add_up(monkeypatch, text, coded):
    monkeypatch.setattr("lmn_tf.data.learning.counts._PENDING", 20)
    rng = np.random.default_rng(1)
    counter, counts = ValueCounter(), collections.Counter()
    for _ in range(30):
        values = rng.zipf(1.3, 50) % 100
        values = [f"v{x}" if text else int(x) for x in values]
        array = pa.array([*values, None])
        counter.add(array.dictionary_encode() if coded else array, PLACE)
        counts.update(values)
    assert counter.most_frequent() == ranked(counts)
    often = collections.Counter({value: n for value, n in counts.items() if n >= 5})
    assert counter.most_frequent(min_count=5) == ranked(often)
    assert counter.most_frequent(max_size=3) == ranked(counts)[:3]


@pytest.mark.parametrize("coded", [False, True])
def test_values_can_count_several_times(coded):
    array = pa.array(["a", None, "b", "a", "c"])
    counter = ValueCounter()
    times = np.array([1, 9, 3, 1, 0])
    counter.add(array.dictionary_encode() if coded else array, PLACE, times)
    assert counter.most_frequent() == ["b", "a"]


def test_nothing_but_missing_values():
    counter = ValueCounter()
    counter.add(pa.array([None, None], pa.int64()), PLACE)
    counter.add(pa.array([], pa.string()), PLACE)
    assert counter.most_frequent() == []


def test_memory_is_bounded_and_frequent_values_stay(monkeypatch):
    monkeypatch.setattr("lmn_tf.data.learning.counts._PENDING", 10)
    counter = ValueCounter(limit=40)
    for start in range(0, 2000, 20):
        counter.add(pa.array([7, 7, 8, *range(start + 100, start + 120)]), PLACE)
    assert counter.most_frequent()[:2] == [7, 8]
    assert len(counter.most_frequent()) <= 40


def test_integers_and_their_texts_are_one_value():
    counter = ValueCounter()
    counter.add(pa.array([7, 7, 10]), PLACE)
    assert counter.most_frequent() == [7, 10]
    counter.add(pa.array(["7", "007", "a", "a", "a", "a"]), PLACE)
    counter.add(pa.array([2**64 - 1, 10], pa.uint64()), PLACE)
    assert counter.most_frequent() == ["a", "7", "10", "007", str(2**64 - 1)]
    assert counter.most_frequent(min_count=3) == ["a", "7"]


def test_integers_rise_as_numbers_and_texts_as_text():
    for values in ([10, 9], ["10", "9"]):
        counter = ValueCounter()
        counter.add(pa.array(values), PLACE)
        assert counter.most_frequent() == sorted(values)
