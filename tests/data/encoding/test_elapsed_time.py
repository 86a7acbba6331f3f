import numpy as np
import pytest

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.elapsed_time import MICROSECONDS, check_elapsed, elapsed_ids
from lmn_tf.data.encoding.source_location import SourceLocation

ORACLE = [(0, 0), (0.99, 0), (1, 1), (1.5, 1), (2, 2), (3.9, 2), (4, 3), (7, 3), (8, 4)]
ORACLE += [(1023, 10), (1024, 11)]


@pytest.mark.parametrize("unit", MICROSECONDS)
def test_buckets_are_those_of_the_paper(unit):
    elapsed = np.array([round(time * MICROSECONDS[unit]) for time, _ in ORACLE])
    ids = elapsed_ids(np.int64(10**17), 10**17 - elapsed, unit, 32)
    assert ids.dtype == np.int32
    assert ids.tolist() == [2 + bucket for _, bucket in ORACLE]


def test_edges_agree_with_bit_length():
    seconds = [n for k in range(40) for n in (2**k - 1, 2**k, 2**k + 1)]
    ids = elapsed_ids(np.int64(0), -1_000_000 * np.array(seconds), "second", 64)
    assert ids.tolist() == [2 + n.bit_length() for n in seconds]


def test_late_buckets_fall_into_the_last_one():
    times = -1_000_000 * np.array([0, 1, 2, 4, 8, 10**9])
    assert elapsed_ids(np.int64(0), times, "second", 4).tolist() == [2, 3, 4, 5, 5, 5]


def test_missing_times_are_unknown():
    request = np.array([0, MISSING_TIME])
    event = np.array([MISSING_TIME, 0])
    assert elapsed_ids(request, event, "second", 8).tolist() == [1, 1]


def test_long_arrays_are_the_same(monkeypatch):
    event = -np.random.default_rng(1).integers(0, 2**40, 1000)
    request = np.arange(1000)
    wanted = elapsed_ids(request, event, "minute", 20)
    monkeypatch.setattr("lmn_tf.data.encoding.elapsed_time._BLOCK", 64)
    np.testing.assert_array_equal(elapsed_ids(request, event, "minute", 20), wanted)


def test_a_later_event_is_a_leak():
    place = SourceLocation.of_rows("a.parquet", "h_time", 40)
    request = np.array([5_000_000, MISSING_TIME, 5_000_000])
    check_elapsed(request, np.array([MISSING_TIME, MISSING_TIME, 5_000_000]), place)
    message = (
        "a.parquet: column `h_time`, row 43: an event must not be later than the request time "
        r".*leak.*Received: '2.5 seconds later'"
    )
    with pytest.raises(ValueError, match=message):
        check_elapsed(request, np.array([0, MISSING_TIME, 7_500_000]), place)
    message = "row 42: a row whose events have times must have a request time .*Received: None"
    with pytest.raises(ValueError, match=message):
        check_elapsed(request, np.array([0, 0, 0]), place)
    with pytest.raises(ValueError, match="row 41: a row whose events have times must have"):
        check_elapsed(np.int64(MISSING_TIME), np.array([0, 0, 0]), place)
