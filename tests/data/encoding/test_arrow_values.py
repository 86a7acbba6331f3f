import datetime
import typing

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.arrow_values import (
    MISSING_TIME,
    TIME_UNITS,
    as_float32,
    as_lists,
    as_numbers,
    as_times,
    one_chunk,
    pick_lists,
    split_texts,
)
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.columns import TimeUnit

PLACE = SourceLocation.of_rows("a.parquet", "x", 0)


def test_one_chunk():
    array = pa.array([1, 2])
    assert one_chunk(array) is array
    assert one_chunk(pa.chunked_array([array])).to_pylist() == [1, 2]
    assert one_chunk(pa.chunked_array([array, array])).to_pylist() == [1, 2, 1, 2]
    assert one_chunk(pa.chunked_array([], pa.int64())).to_pylist() == []


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([1, None]), [1, np.nan]),
        (pa.array([True, False]), [1, 0]),
        (pa.array(["1.5", " 2 ", None]), [1.5, 2, np.nan]),
        (pa.array(["1.5", "2"]).dictionary_encode(), [1.5, 2]),
        (pa.array([None]), [np.nan]),
        (pa.array([1.5], pa.float32()), [1.5]),
        (pa.array([1.25]).cast(pa.decimal128(5, 2)), [1.25]),
    ],
)
def test_numbers(values, wanted):
    np.testing.assert_array_equal(as_numbers(values, PLACE), np.array(wanted, np.float64))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array(["1", "2", "x", "y"]), "row 3: the value must be a number. Received: 'x'"),
        (pa.array([[1.0]]), "must hold one number, not lists. Received: list<"),
        (pa.array([datetime.date.today()]), "column `x` must hold numbers. Received: date32"),
    ],
)
def test_no_numbers(values, message):
    with pytest.raises(ValueError, match=message):
        as_numbers(values, PLACE)


def test_times_are_microseconds():
    moment = datetime.datetime(2020, 1, 1, 0, 0, 0, 250)
    seconds = int(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC).timestamp())
    wanted = [seconds * 1_000_000 + 250, MISSING_TIME]
    for unit in ("us", "ns"):
        assert as_times(pa.array([moment, None], pa.timestamp(unit)), PLACE).tolist() == wanted
    assert as_times(pa.array([seconds, None]), PLACE).tolist() == [wanted[0] - 250, MISSING_TIME]
    assert as_times(pa.array([1.5, None]), PLACE).tolist() == [1_500_000, MISSING_TIME]
    assert as_times(pa.array([3], pa.int32()), PLACE).tolist() == [3_000_000]
    assert as_times(pa.array([datetime.date(1970, 1, 2)]), PLACE).tolist() == [86_400_000_000]


@pytest.mark.parametrize("unit", TIME_UNITS)
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64()])
def test_times_in_other_units(unit, kind):
    assert set(TIME_UNITS) == set(typing.get_args(TimeUnit))
    numbers = pa.array([3 * TIME_UNITS[unit], None], kind)
    assert as_times(numbers, PLACE, unit).tolist() == [3_000_000, MISSING_TIME]


@pytest.mark.parametrize(
    ("unit", "wanted"),
    [("millisecond", "2023-11-14"), ("microsecond", "2023-11-14"), ("nanosecond", "2023-11-14")],
)
@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64()])
def test_times_that_can_not_be_seconds(unit, wanted, kind):
    numbers = pa.array([1, 1_700_000_000 * TIME_UNITS[unit]]).cast(kind, safe=False)
    message = (
        "row 2: a time must be a timestamp, or count seconds since 1970 "
        rf"\(in {unit}s it is {wanted}: set `time_unit: {unit}` at the top of the spec\)"
    )
    with pytest.raises(ValueError, match=message):
        as_times(numbers, PLACE)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e300, 2.0**64])
def test_numbers_that_are_no_times(number):
    with pytest.raises(ValueError, match="row 1: a time must be a timestamp, or count seconds"):
        as_times(pa.array([number]), PLACE)


@pytest.mark.parametrize("encode", [False, True])
def test_texts_of_times(encode):
    for texts, wanted in ((["1970-01-02", None], 86_400), (["1970-01-01 00:00:03"], 3), (["3"], 3)):
        array = pa.array(texts)
        found = as_times(array.dictionary_encode() if encode else array, PLACE)
        assert found.tolist() == [wanted * 1_000_000, MISSING_TIME][: len(texts)]
    rule = "row 2: a time must be a number of seconds since 1970, or a text such as .*: 'soon'"
    with pytest.raises(ValueError, match=rule):
        as_times(pa.array(["3", "soon"]), PLACE)


def test_texts_of_times_with_a_time_zone():
    texts = ["1970-01-01T00:00:03Z", "1970-01-01 01:00:03+01:00", None, "1970-01-01T00:00:03.5Z"]
    found = as_times(pa.array(texts), PLACE)
    assert found.tolist() == [3_000_000, 3_000_000, MISSING_TIME, 3_500_000]
    with pytest.raises(ValueError, match=r"all of the column with a time zone \(Z, \+01:00\) or"):
        as_times(pa.array([*texts, "1970-01-01T00:00:03"]), PLACE)


def test_timestamps_past_the_range():
    far = pa.array([2**62], pa.int64()).view(pa.timestamp("s"))
    with pytest.raises(ValueError, match="column `x` must hold times within 290,000 years of 1970"):
        as_times(far, PLACE)


def test_numbers_past_float32():
    numbers = np.array([1.0, -3.4e38, 3.5e38])
    assert as_float32(numbers[:2], PLACE, "a weight").dtype == np.float32
    message = r"row 3: a weight must be finite as float32 \(up to 3.4e38\). Received: 3.5e\+38"
    with pytest.raises(ValueError, match=message):
        as_float32(numbers, PLACE, "a weight")


LISTS = [[1, 2], None, [], [3]]


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int64())])
def test_lists(kind):
    flat, lengths = as_lists(pa.array(LISTS, kind), PLACE)
    assert flat.to_pylist() == [1, 2, 3] and lengths.tolist() == [2, 0, 0, 1]
    flat, lengths = as_lists(pa.array(LISTS, kind).slice(1), PLACE)
    assert flat.to_pylist() == [3] and lengths.tolist() == [0, 0, 1]


def test_lists_of_fixed_size_of_nothing_and_of_text():
    flat, lengths = as_lists(pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), PLACE)
    assert flat.to_pylist() == [1, 2] and lengths.tolist() == [2, 0]
    flat, lengths = as_lists(pa.array([None, None]), PLACE)
    assert len(flat) == 0 and lengths.tolist() == [0, 0]
    for texts in (
        pa.array(["a|b", "", None, "c"]),
        pa.array(["a|b", "", None, "c"]).dictionary_encode(),
    ):
        flat, lengths = as_lists(texts, PLACE, "|")
        assert flat.to_pylist() == ["a", "b", "c"] and lengths.tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_split_texts(kind):
    texts = pa.array(["z", "a||b", "", None, " c |", "|"], kind).slice(1)
    wanted = [["a", None, "b"], None, None, [" c ", None], [None, None]]
    assert split_texts(texts, "|").to_pylist() == wanted
    assert split_texts(texts.slice(0, 0), "|").to_pylist() == []


def test_no_lists():
    for values in (pa.array([1]), pa.array(["a|b"])):
        with pytest.raises(ValueError, match="column `x` must hold a list in each row. Received:"):
            as_lists(values, PLACE)


def test_pick_lists():
    values, lengths = pa.array([1, 2, 3, 4, 5]), np.array([3, 0, 2])
    assert pick_lists(values, lengths, 3, True) == (values, lengths, None)
    newest, kept, index = pick_lists(values, lengths, 2, True)
    assert newest.to_pylist() == [2, 3, 4, 5] and kept.tolist() == [2, 0, 2]
    assert index.tolist() == [1, 2, 3, 4]
    assert pick_lists(values, lengths, 2, False)[0].to_pylist() == [1, 2, 4, 5]
