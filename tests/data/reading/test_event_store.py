import numpy as np
import pyarrow as pa
import pytest
from small_shop import shop_dict, write_events

from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.event_store import DiskArray, EventStore
from lmn_tf.specs.feature_spec import FeatureSpec

PLACE = SourceLocation.of_rows("rows.parquet", "count", 0)


def spec_of(keep="newest", max_length=2, fields=("item", "elapsed", "tags")):
    plain = shop_dict(by_reference=True, keep=keep)
    plain["sequences"][0]["max_length"] = max_length
    chosen = [field for field in plain["sequences"][0]["fields"] if field["name"] in fields]
    plain["sequences"][0]["fields"] = chosen
    spec = FeatureSpec.from_dict(plain)
    spec.assets.vocabularies.update(item=[10, 11, 12, 13], user=["a", "b"])
    return spec


def event(item, time, tags=("red",)):
    return {"h_item": item, "h_time": time, "h_tags": list(tags)}


EVENTS = {"a": [event(10, 1), event(11, 2, ()), event(12, 4)], "b": [event(13, 3, ["blue"] * 9)]}


def store_of(folder, spec=None, events=EVENTS, chunk=2):
    write_events(folder, events, chunk)
    spec = spec or spec_of()
    return EventStore(spec, spec.sequences[0], str(folder))


def rows_of(store, spec, users, counts, times):
    request = np.array(times) * 1_000_000
    users, counts = (pa.array(users), PLACE), (pa.array(counts), PLACE)
    return store.rows(spec.sequences[0], users, counts, request)


def test_events_are_encoded_once(tmp_path):
    fields = store_of(tmp_path).fields
    assert fields["item"].tolist() == [2, 3, 4, 5]
    assert fields["elapsed"].values.tolist() == [1_000_000, 2_000_000, 4_000_000, 3_000_000]
    assert fields["tags"].lengths.tolist() == [1, 0, 1, 3]
    assert fields["tags"].values.tolist() == [2, 2, 4, 4, 4]
    assert {path.name for path in tmp_path.iterdir()} == {"events.arrow"}


@pytest.mark.parametrize(("keep", "first"), [("newest", [1, 0, 0, 3]), ("oldest", [0, 0, 0, 3])])
def test_rows_hold_the_events_before_them(tmp_path, keep, first):
    spec = spec_of(keep)
    rows = rows_of(store_of(tmp_path, spec), spec, ["a", "a", "x", "b"], [3, 1, 0, 1], [9] * 4)
    assert rows.starts.tolist() == first
    assert rows.lengths.tolist() == [2, 1, 0, 1]


def test_users_are_told_apart_by_their_first_event_or_below_zero_without_any(tmp_path):
    spec, users = spec_of(), ["a", "x", "b", "y", "x", None, "a"]
    store = store_of(tmp_path, spec)
    a, x, b, y, again, none, last = rows_of(store, spec, users, [1] + [0] * 6, [9] * 7).users
    assert (a, b, last) == (0, 3, 0) and none == NO_GROUP
    assert x == again != y and max(x, y) < 0 and NO_GROUP not in (x, y)


def test_an_event_after_the_request_is_a_leak(tmp_path):
    spec = spec_of()
    store = store_of(tmp_path, spec)
    rows_of(store, spec, ["a"], [3], [4])
    message = "rows.parquet: column `count`, row 2: an event must not be later than the request"
    with pytest.raises(ValueError, match=message):
        rows_of(store, spec, ["a", "a"], [2, 3], [3, 3])


@pytest.mark.parametrize("chunk", [1, 2, 3, 10])
def test_events_out_of_order(tmp_path, chunk):
    events = {"a": [event(10, 5)], "b": [event(10, 1), event(11, 4), event(12, 3)]}
    message = "events.arrow: column `h_time`, row 4: events must be sorted by user, then time"
    with pytest.raises(ValueError, match=message):
        store_of(tmp_path, events=events, chunk=chunk)


def test_two_fields_read_one_column_of_times(tmp_path):
    plain = spec_of().to_dict()
    fields = plain["sequences"][0]["fields"]
    fields.append({**next(f for f in fields if f["name"] == "elapsed"), "name": "hours"})
    fields[-1]["unit"] = "hour"
    spec = FeatureSpec.from_dict(plain)
    spec.assets.vocabularies.update(item=[10, 11, 12, 13], user=["a", "b"])
    events = {"a": [event(10, 1), event(11, 2), event(12, 4), event(13, 6)]}
    fields = store_of(tmp_path, spec, events, chunk=2).fields
    assert fields["hours"].values.tolist() == fields["elapsed"].values.tolist()


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_an_event_without_a_time_hides_no_leak(tmp_path, chunk):
    spec = spec_of()
    timed = [event(10, 100), event(11, 9000), event(12, None)]
    store = store_of(tmp_path, spec, {"a": timed, "b": [event(13, None), event(10, 5)]}, chunk)
    rows_of(store, spec, ["a", "a", "b"], [1, 3, 1], [1000, 9000, 1])
    message = "row 1: an event must not be later than the request"
    with pytest.raises(ValueError, match=message):
        rows_of(store, spec, ["a"], [3], [1000])


@pytest.mark.parametrize("chunk", [1, 2, 10])
def test_an_event_without_a_time_hides_no_disorder(tmp_path, chunk):
    events = {"a": [event(10, 1), event(10, 9000), event(11, None), event(12, 500)]}
    message = "events.arrow: column `h_time`, row 4: events must be sorted by user, then time"
    with pytest.raises(ValueError, match=message):
        store_of(tmp_path, events=events, chunk=chunk)


def test_without_times_nothing_is_compared(tmp_path):
    spec = spec_of(fields=("item",))
    rows = rows_of(store_of(tmp_path, spec), spec, ["a"], [3], [0])
    assert rows.request is None


def test_a_missing_column(tmp_path):
    with pytest.raises(ValueError, match="column `h_look` must be in the events file"):
        store_of(tmp_path, spec_of(fields=("item", "look")))


def test_a_value_that_the_spec_refuses(tmp_path):
    events = {"a": [event(10, 1), event(2.5, 2)]}
    message = "events.arrow: column `h_item`, row 2: the value must be an integer or text"
    with pytest.raises(ValueError, match=message):
        store_of(tmp_path, events=events)


def test_parts_come_back_as_one(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.array([[1, 2], [3, 4]], np.float32))
    array.append(np.array([[5, 6]], np.float32))
    values = array.finish()
    assert values.tolist() == [[1, 2], [3, 4], [5, 6]] and values.dtype == np.float32
    assert list(tmp_path.iterdir()) == []


def test_nothing_comes_back_as_nothing(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.zeros((0, 3), np.float32))
    values = array.finish()
    assert values.shape == (0, 3) and values.dtype == np.float32
    assert list(tmp_path.iterdir()) == []


def test_close_without_finishing(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.zeros(3, np.int32))
    array.close()
    with pytest.raises(ValueError, match="closed file"):
        array.append(np.zeros(3, np.int32))
    assert (tmp_path / "a").stat().st_size == 12
