import numpy as np
import pyarrow as pa
import pytest
from small_shop import shop_dict, shop_rows

from lmn_tf.data.encoding.hashing import NO_GROUP, hash_values
from lmn_tf.data.encoding.ragged import Ragged, starts_of
from lmn_tf.data.encoding.table_encoder import TableEncoder, cross_ids
from lmn_tf.specs.feature_spec import FeatureSpec

ROWS, _ = shop_rows(20)
ROWS[3]["h_item"] = ROWS[3]["h_item"] or [1]
for _name, _value in (("h_time", 0), ("h_dwell", 0.0), ("h_tags", []), ("h_look", [0.0] * 3)):
    ROWS[3][_name] = ROWS[3][_name] or [_value]


def encode(changes=None, drop=(), **spec_changes):
    """Encodes the rows with the cells of row 4 changed."""
    rows = [dict(row) for row in ROWS]
    rows[3].update(changes or {})
    plain = {**shop_dict(), **spec_changes}
    plain["features"] = [one for one in plain["features"] if one["name"] not in drop]
    spec = FeatureSpec.from_dict(plain)
    spec.assets.vocabularies.update(item=list(range(45)), user=[f"u{i}" for i in range(15)])
    return TableEncoder(spec, {}).encode(pa.Table.from_pylist(rows), "a.parquet", 100)


def test_group_is_a_hash():
    wanted = hash_values(pa.array([row["user"] for row in ROWS])).view(np.int64)
    assert encode().features["group"].tolist() == wanted.tolist()


def test_features_and_histories_may_be_encoded_apart():
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=list(range(45)), user=[f"u{i}" for i in range(15)])
    encoder, table = TableEncoder(spec, {}, labels=False), pa.Table.from_pylist(ROWS)
    whole = encoder.encode(table, "a.parquet", 0)
    plain = table.select(spec.columns(labels=False, histories=False))
    features = encoder.encode_features(plain, "a.parquet", 0)
    histories = encoder.encode_histories(table.select(["time", *spec.history_columns()]), "b")
    assert features.sequences == {} and features.features.keys() == whole.features.keys()
    np.testing.assert_array_equal(features.features["item"], whole.features["item"])
    found, wanted = histories["history"], whole.sequences["history"]
    np.testing.assert_array_equal(found.lengths, wanted.lengths)
    np.testing.assert_array_equal(found.fields["elapsed"].values, wanted.fields["elapsed"].values)


def test_unknown_ids_are_counted_by_column():
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=list(range(45)), user=[row["user"] for row in ROWS[1:]])
    first = {"user": "?", "tags": ["red", "grey", "?", "?"], "tag_weights": [1.0] * 4, "hour": None}
    past = {"h_item": [99, None], "h_tags": [["?", None, "blue"], ["grey"]], "h_time": [0, 0]}
    past |= {"h_dwell": [1.0, 1.0], "h_look": [[0.0] * 3] * 2}
    table = pa.Table.from_pylist([{**ROWS[0], **first, **past}])
    encoder, unknown = TableEncoder(spec, {}, labels=False), {}
    encoder.encode(table, "rows", 0, unknown)
    assert unknown == {"user": 1, "tags": 2, "h_item": 1, "h_tags": 2}
    unknown = {}
    encoder.encode_features(table, "rows", 0, ("item", "context"), unknown)
    assert unknown == {"tags": 2}
    unknown = {}
    encoder.encode_histories(table, "rows", unknown)
    assert unknown == {"h_item": 1, "h_tags": 2}


def test_a_row_without_a_user_is_in_no_group():
    groups = encode({"user": None}).features["group"]
    assert groups[3] == NO_GROUP and (np.delete(groups, 3) != NO_GROUP).all()


def test_labels_and_weights():
    block = encode()
    assert block.labels.tolist() == [[row["click"], row["bought"]] for row in ROWS]
    assert block.weights.tolist() == [row["weight"] for row in ROWS]
    rows = pa.Table.from_pylist(ROWS).drop_columns(["click", "weight"])
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=[1], user=["u1"])
    block = TableEncoder(spec, {}, labels=False).encode(rows, "a.parquet", 0)
    assert block.labels is None and block.weights is None


def test_a_slice_is_encoded_as_the_whole():
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=list(range(45)), user=["u1"])
    encoder = TableEncoder(spec, {})
    table = pa.Table.from_pylist(ROWS)
    whole = encoder.encode(table, "a.parquet", 0)
    part = encoder.encode(table.slice(5, 9), "a.parquet", 5)
    first = whole.sequences["history"].starts[5]
    lengths = part.sequences["history"].lengths
    assert lengths.tolist() == whole.sequences["history"].lengths[5:14].tolist()
    of_whole, of_part = (block.sequences["history"].fields for block in (whole, part))
    items = of_whole["item"][first : first + lengths.sum()]
    times = of_whole["elapsed"].values[first : first + lengths.sum()]
    assert items.tolist() == of_part["item"].tolist()
    assert times.tolist() == of_part["elapsed"].values.tolist()


@pytest.mark.parametrize("nothing", [None, []])
def test_histories_of_nothing(nothing):
    columns = ("h_item", "h_time", "h_dwell", "h_tags", "h_look")
    history = encode(dict.fromkeys(columns, nothing)).sequences["history"]
    assert history.lengths[3] == 0


def test_columns_without_any_value():
    rows = [
        {**row, "age": None, "price": None, "h_item": None, "tags": None, "tag_weights": None}
        | dict.fromkeys(("h_time", "h_dwell", "h_tags", "h_look"))
        for row in ROWS
    ]
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=[1], user=["u1"])
    block = TableEncoder(spec, {}).encode(pa.Table.from_pylist(rows), "a.parquet", 0)
    assert set(block.features["age"]) == {1}
    assert not block.features["tags"].lengths.any()
    assert not block.sequences["history"].lengths.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"click": 2}, "column `click`, row 104: label `click` must be 0 or 1. Received: 2$"),
        ({"bought": None}, "column `bought`, row 104: label `buy` must be 0 or 1. Received: nan"),
        ({"weight": -1.0}, "column `weight`, row 104: a row's weight must be 0 or more"),
        ({"weight": 1e39}, "row 104: a row's weight must be finite as float32"),
        ({"time": None}, "row 104: a row whose events have times must have a request time"),
        ({"since": 10**6}, "column `since`, row 104: an event must not be later than the request"),
        (
            {"h_time": [10**6], "h_item": [1], "h_dwell": [0], "h_tags": [[]], "h_look": [[0] * 3]},
            "a.parquet: column `h_time`, row 104: an event must not be later than the request time",
        ),
        (
            {"h_item": [1, 2, 3], "h_dwell": [0.5]},
            r"column `h_dwell`, row 104: the list must be as long as that of `h_item` \(3\)",
        ),
    ],
)
def test_rows_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        encode(changes)


def test_histories_need_lists():
    rows = [{**row, "h_item": 5} for row in ROWS]
    spec = FeatureSpec.from_dict(shop_dict())
    spec.assets.vocabularies.update(item=[1], user=["u1"])
    with pytest.raises(ValueError, match="column `h_item` must hold a list in each row"):
        TableEncoder(spec, {}).encode(pa.Table.from_pylist(rows), "a.parquet", 0)


def test_weights_of_histories():
    plain = shop_dict()
    plain["sequences"][0]["fields"][-2]["weights"] = "h_weights"
    spec = FeatureSpec.from_dict(plain)
    spec.assets.vocabularies.update(item=[1], user=["u1"])
    rows = [{**row, "h_weights": [[0.5] * len(tags) for tags in row["h_tags"]]} for row in ROWS]

    def tags():
        block = TableEncoder(spec, {}).encode(pa.Table.from_pylist(rows), "a.parquet", 0)
        return block.sequences["history"].fields["tags"]

    assert tags().weights.shape == tags().values.shape and set(tags().weights) == {0.5}
    rows[3]["h_weights"] = []
    with pytest.raises(ValueError, match="column `h_weights`, row 4: the list must be as long"):
        tags()


def test_crosses_hash_the_ids_of_their_parts():
    a, b = np.array([2, 3, 2, 0], np.int32), np.array([5, 5, 6, 5], np.int32)
    ids = cross_ids([a, b], 1000)
    assert ids.dtype == np.int32 and ids[3] == 0
    assert len(set(ids[:3])) == 3 and ids[:3].min() >= 2 and ids[:3].max() < 1002
    assert cross_ids([b, a], 1000).tolist() != ids.tolist()
    lengths = np.array([2, 0, 1, 1], np.int32)
    lists = Ragged(np.array([5, 6, 6, 0], np.int32), starts_of(lengths), lengths)
    crossed = cross_ids([a, lists], 1000)
    assert crossed.lengths is lengths
    assert crossed.values.tolist() == [ids[0], ids[2], ids[2], 0]


@pytest.mark.parametrize(("unit", "per_second"), [("millisecond", 1_000), ("nanosecond", 10**9)])
def test_times_in_the_unit_of_the_spec(unit, per_second):
    row, wanted = ROWS[3], encode()
    times = {"time": row["time"], "since": row["since"], "h_time": row["h_time"]}
    counted = {name: np.multiply(value, per_second).tolist() for name, value in times.items()}
    rows = [{**other, **counted} if other is row else other for other in ROWS]
    spec = FeatureSpec.from_dict({**shop_dict(), "time_unit": unit})
    spec.assets.vocabularies.update(item=list(range(45)), user=[f"u{i}" for i in range(15)])
    table = pa.Table.from_pylist(rows[3:4])
    block = TableEncoder(spec, {}).encode(table, "a.parquet", 0)
    assert block.features["since"].tolist() == wanted.features["since"][3:4].tolist()
    found = block.sequences["history"].batch(np.array([0]), np.array([False]))["elapsed"]
    wanted = wanted.sequences["history"].batch(np.array([3]), np.array([False]))["elapsed"]
    assert found.tolist() == wanted.tolist() and len(wanted) > 1
