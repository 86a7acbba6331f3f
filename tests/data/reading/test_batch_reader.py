"""Batches against a plain-Python twin, over formats, orders, shards and starts."""

import collections
import math

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from padded_batch import padded
from small_shop import (
    MAX_LENGTH,
    shop_rows,
    shop_spec,
    write_csv,
    write_events,
    write_parquet,
    write_tfrecord,
)

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

ROWS, EVENTS = shop_rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_parquet(folder, ROWS)
    write_events(folder, EVENTS)
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return str(folder / "train-*.parquet")


def learned(files, **options):
    spec = shop_spec(**options)
    learn(spec, files)
    return spec


def assert_same(left, right):
    """Asserts that two lists of batches agree in keys, dtypes, shapes and bits."""
    assert len(left) == len(right)
    for (a, a_labels, a_weights), (b, b_labels, b_weights) in zip(left, right, strict=True):
        assert list(a) == list(b)
        for name in a:
            assert a[name].dtype == b[name].dtype, name
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
        np.testing.assert_array_equal(a_labels, b_labels)
        np.testing.assert_array_equal(a_weights, b_weights)


# The twin: one row at a time, in plain Python.


def twin_vocabularies(keep):
    users, items = collections.Counter(), collections.Counter()
    for row in ROWS:
        users[row["user"]] += 1
        items[row["item"]] += 1
        items.update(kept(row["h_item"], keep))
    order = sorted(items.items(), key=lambda pair: (-pair[1], pair[0]))
    return (
        [user for user, _ in sorted(users.items(), key=lambda pair: (-pair[1], pair[0]))],
        [item for item, count in order if count >= 2],
    )


def kept(values, keep):
    return values[-MAX_LENGTH:] if keep == "newest" else values[:MAX_LENGTH]


def lookup(value, vocabulary):
    return vocabulary.index(value) + 2 if value in vocabulary else 1


def tag_ids(tags):
    return [lookup(tag, ["red", "green", "blue"]) for tag in tags[:3]]


def twin_row(row, keep):
    users, items = twin_vocabularies(keep)
    age = row["age"]
    return {
        "user": lookup(row["user"], users),
        "age": 1 if age is None else 2 + sum(age >= bound for bound in (20, 30, 40)),
        "item": lookup(row["item"], items),
        "tags": tag_ids(row["tags"]),
        "tags/weights": row["tag_weights"][:3],
        "price": math.log1p(2.0 if row["price"] is None else row["price"]),
        "look": row["look"],
        "hour": row["hour"] + 2,
        "since": 2 + ((row["time"] - row["since"]) // 3600).bit_length(),
        "history/mask": [True] * len(kept(row["h_item"], keep)),
        "history/item": [lookup(item, items) for item in kept(row["h_item"], keep)],
        "history/dwell": [-1 if x is None else x for x in kept(row["h_dwell"], keep)],
        "history/elapsed": [
            2 + min((row["time"] - time).bit_length(), 11) for time in kept(row["h_time"], keep)
        ],
        "history/tags": [tag_ids(tags) for tags in kept(row["h_tags"], keep)],
        "history/look": kept(row["h_look"], keep),
    }


def unpadded(value, wanted):
    """Cuts the padding off, which must be zero, and returns lists."""
    if not isinstance(wanted, list):
        return value
    for rest in value[len(wanted) :]:
        assert not np.any(rest)
    return [unpadded(one, some) for one, some in zip(value, wanted, strict=False)]


@pytest.mark.parametrize("keep", ["newest", "oldest"])
@pytest.mark.parametrize("by_reference", [False, True])
def test_batches_agree_with_plain_python(files, keep, by_reference):
    spec = learned(files, keep=keep, by_reference=by_reference)
    row = 0
    for features, labels, weights in BatchReader(spec, files, batch_size=64).read():
        features = padded(features, spec.sequences)
        for i in range(len(labels)):
            for name, wanted in twin_row(ROWS[row], keep).items():
                got = unpadded(features[name][i], wanted)
                for one, other in zip(_flat(got), _flat(wanted), strict=True):
                    assert one == pytest.approx(other, rel=1e-6), (row, name)
            assert labels[i].tolist() == [ROWS[row]["click"], ROWS[row]["bought"]]
            assert weights[i] == ROWS[row]["weight"]
            row += 1
    assert row == len(ROWS)


@pytest.mark.parametrize("by_reference", [False, True])
def test_drawn_rows_are_rows_of_all(files, by_reference):
    spec = learned(files, by_reference=by_reference)
    limit = RowLimit("20%", seed=2)
    reader = BatchReader(spec, files, batch_size=16, limit=limit)
    drawn = limit.drawn(len(ROWS))
    assert reader.num_rows == len(drawn) == round(0.2 * len(ROWS))
    labels = np.concatenate([labels for _, labels, _ in reader.read()])
    assert labels[:, 0].tolist() == [ROWS[row]["click"] for row in drawn]


def test_a_drawn_row_is_told_by_its_place_in_the_file(tmp_path):
    limit = RowLimit("20%", seed=2)
    row = int(limit.drawn(len(ROWS))[9])
    rows = [dict(one) for one in ROWS]
    rows[row]["click"] = 2
    files = write_csv(tmp_path, rows, files=1)
    spec = shop_spec(nested=False)
    learn(spec, files, limit=limit)
    with pytest.raises(UserError, match=f"column `click`, row {row + 1}: label `click` must be 0"):
        list(BatchReader(spec, files, limit=limit).read())


def _flat(value):
    if isinstance(value, list):
        return [leaf for one in value for leaf in _flat(one)]
    return np.ravel(value).tolist()


def test_shapes_and_dtypes(files):
    spec = learned(files)
    features, labels, weights = next(BatchReader(spec, files, batch_size=64).read())
    events, pairs = len(features["history/item"]), int(features["history/length"].sum())
    assert {name: (str(array.dtype), array.shape) for name, array in features.items()} == {
        "user": ("int32", (64,)),
        "age": ("int32", (64,)),
        "item": ("int32", (64,)),
        "tags": ("int32", (64, 3)),
        "tags/weights": ("float32", (64, 3)),
        "price": ("float32", (64,)),
        "look": ("float32", (64, 3)),
        "hour": ("int32", (64,)),
        "agent": ("int32", (64,)),
        "since": ("int32", (64,)),
        "age_x_tags": ("int32", (64, 3)),
        "group": ("int64", (64,)),
        "history/first": ("int32", (64,)),
        "history/length": ("int32", (64,)),
        "history/item": ("int32", (events,)),
        "history/dwell": ("float32", (events,)),
        "history/elapsed": ("int32", (pairs,)),
        "history/tags": ("int32", (events, 3)),
        "history/look": ("float32", (events, 3)),
    }
    assert labels.shape == (64, 2) and labels.dtype == np.float32
    assert weights.shape == (64,) and weights.dtype == np.float32


@pytest.mark.parametrize("keep", ["newest", "oldest"])
def test_inline_and_by_reference_histories_give_identical_batches(files, keep):
    inline = learned(files, keep=keep)
    referred = learned(files, keep=keep, by_reference=True)
    assert inline.assets.vocabularies == referred.assets.vocabularies
    options = {"batch_size": 32, "shuffle": True, "seed": 3, "shuffle_buffer": 64}
    both = [list(BatchReader(spec, files, **options).read(1)) for spec in (inline, referred)]
    assert_same(*[[(padded(x, inline.sequences), *rest) for x, *rest in read] for read in both])


def test_all_formats_give_identical_batches(folder, files, tmp_path):
    spec = learned(files, nested=False)
    wanted = list(BatchReader(spec, files, batch_size=50).read())
    for write in (write_csv, write_tfrecord):
        other = shop_spec(nested=False)
        pattern = write(tmp_path, ROWS)
        learn(other, pattern)
        assert other.assets.vocabularies == spec.assets.vocabularies
        assert_same(list(BatchReader(other, pattern, batch_size=50).read()), wanted)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_readers_of_one_column_split_its_text_by_themselves(ending, tmp_path):
    cells = {"tags": ["a|b;c", "7", ""], "size": ["1|2", "3|4", "5|6"], "click": [0, 1, 0]}
    path, table = str(tmp_path / f"a.{ending}"), pa.table(cells)
    pa_csv.write_csv(table, path) if ending == "csv" else pq.write_table(table, path)

    def feature(name, kind, **more):
        return {"name": name, "role": "item", "kind": kind, **more}

    ids = {"column": "tags", "lookup": {"learn": {}}}
    features = [
        feature("bars", "multi_value", separator="|", **ids),
        feature("marks", "multi_value", separator=";", **ids),
        feature("whole", "categorical", **ids),
        feature("pair", "vector", column="size", size=2),
        feature("text", "categorical", column="size", lookup={"learn": {}}),
    ]
    spec = FeatureSpec.from_dict(
        {"spec_version": 1, "name": "t", "labels": [{"name": "click"}], "features": features}
    )
    learn(spec, path)
    vocabularies = {key: {*values} for key, values in spec.assets.vocabularies.items()}
    whole = {"7", "a|b;c"} if ending == "csv" else {"", "7", "a|b;c"}
    bars, marks = {"7", "a", "b;c"}, {"7", "a|b", "c"}
    text = {"1|2", "3|4", "5|6"}
    assert vocabularies == {"bars": bars, "marks": marks, "whole": whole, "text": text}
    ((batch, _, _),) = BatchReader(spec, path).read()
    assert (batch["bars"] > 0).sum(1).tolist() == [2, 1, 0]
    assert batch["pair"].tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize("times", [["1700000000", "1700000000.5"], ["1700000000.5", "1700000000"]])
def test_times_of_two_files_are_read_in_any_order(times, tmp_path):
    for number, time in enumerate(times):
        (tmp_path / f"{number}.csv").write_text(f"since,now,click\n{time},1700000010,0\n")
    feature = {"name": "since", "role": "item", "kind": "elapsed_time"}
    plain = {"spec_version": 1, "name": "t", "labels": [{"name": "click"}], "request_time": "now"}
    spec = FeatureSpec.from_dict({**plain, "features": [feature]})
    ((batch, _, _),) = BatchReader(spec, str(tmp_path / "*.csv")).read()
    assert len(batch["since"]) == 2


def test_a_list_of_a_history_is_no_single_value(tmp_path):
    (tmp_path / "a.csv").write_text("items,click\n1|2,0\n")
    lookup = {"lookup": {"hash": 8}}
    plain = {
        "spec_version": 1,
        "name": "t",
        "labels": [{"name": "click"}],
        "features": [{"name": "items", "role": "item", "kind": "categorical", **lookup}],
        "sequences": [
            {
                "name": "past",
                "max_length": 2,
                "fields": [{"name": "item", "column": "items", "kind": "categorical", **lookup}],
            }
        ],
    }
    reader = BatchReader(FeatureSpec.from_dict(plain), str(tmp_path / "a.csv"))
    with pytest.raises(ValueError, match="`items` must hold a list in each row.*string"):
        next(reader.read())


def test_runs_of_before_go_on_reading_csv_as_they_did(tmp_path):
    (tmp_path / "a.csv").write_text("user,item,click\n007,1.0,0\n7, 2.0,1\n")
    features = [
        {"name": name, "role": "user", "kind": "categorical", "lookup": {"learn": {}}}
        for name in ("user", "item")
    ]
    plain = {"spec_version": 1, "name": "t", "labels": [{"name": "click"}], "features": features}
    for text_ids, users, items in ((True, [2, 3], ["1.0", " 2.0"]), (False, [3, 3], [1, 2])):
        spec = FeatureSpec.from_dict(plain)
        spec.assets.text_ids = text_ids
        spec.assets.vocabularies.update(user=["007", "7"], item=items)
        ((batch, _, _),) = BatchReader(spec, str(tmp_path / "a.csv")).read()
        assert batch["user"].tolist() == users and batch["item"].tolist() == [2, 3]
    spec.assets.vocabularies["user"] = ["007", "8", "7"]
    ((batch, _, _),) = BatchReader(spec, str(tmp_path / "a.csv")).read()
    assert batch["user"].tolist() == [4, 4]
    spec.assets.vocabularies["user"] = ["007", "8"]
    ((batch, _, _),) = BatchReader(spec, str(tmp_path / "a.csv")).read()
    assert batch["user"].tolist() == [2, 2]


def rows_of(batches):
    return [row for features, _, _ in batches for row in zip(*_columns(features), strict=True)]


def _columns(features):
    return [features[name].tolist() for name in ("user", "item", "hour", "since", "price")]


def test_shuffling_follows_from_seed_and_epoch(files):
    spec = learned(files)

    def read(seed, epoch):
        reader = BatchReader(spec, files, batch_size=16, shuffle=True, seed=seed, shuffle_buffer=40)
        return list(reader.read(epoch))

    assert_same(read(5, 2), read(5, 2))
    plain = rows_of(BatchReader(spec, files, batch_size=16).read())
    orders = [rows_of(read(5, 2)), rows_of(read(5, 3)), rows_of(read(6, 2))]
    assert all(sorted(order) == sorted(plain) for order in orders)
    assert len({tuple(order) for order in [*orders, plain]}) == 4
    assert_same(read(None, 0), read(0, 0))


@pytest.mark.parametrize("shuffle_buffer", [40, 100_000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_reader_resumes_at_any_batch(files, monkeypatch, shuffle, shuffle_buffer):
    monkeypatch.setattr("lmn_tf.data.reading.batch_reader._READ_ROWS", 40)
    spec = learned(files, by_reference=True)

    def reader():
        return BatchReader(
            spec, files, batch_size=16, shuffle=shuffle, seed=1, shuffle_buffer=shuffle_buffer
        )

    whole = list(reader().read(1))
    assert len(whole) == reader().batches_per_epoch == math.ceil(len(ROWS) / 16)
    for start in range(len(whole) + 1):
        assert_same(list(reader().read(1, start)), whole[start:])


def test_skipped_units_are_not_decoded(files, monkeypatch):
    spec = learned(files)
    reader = BatchReader(spec, files, batch_size=10, shuffle=True, seed=1, shuffle_buffer=30)
    decoded = []
    encode = reader._encoder.encode
    monkeypatch.setattr(
        reader._encoder,
        "encode",
        lambda table, *rest: decoded.append(len(table)) or encode(table, *rest),
    )
    assert len(list(reader.read(0, 18))) == 2
    assert sum(decoded) <= 30


@pytest.mark.parametrize("count", [1, 2, 3, 7, 13, 40])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_shards_hold_every_row_once(files, tmp_path, kind, count):
    pattern = files if kind == "parquet" else write_csv(tmp_path, ROWS)
    spec = learned(files, nested=False)
    whole = rows_of(BatchReader(spec, pattern, batch_size=16).read())
    parts, total = [], 0
    for index in range(count):
        reader = BatchReader(
            spec, pattern, batch_size=16, shuffle=True, shuffle_buffer=32, shard=(index, count)
        )
        rows = rows_of(reader.read(0))
        assert len(rows) == reader.num_rows
        parts += rows
        total += reader.num_rows
    assert total == len(ROWS) and sorted(parts) == sorted(whole)


def test_limit_and_remainder(files):
    spec = learned(files)
    reader = BatchReader(spec, files, batch_size=32, limit=75)
    assert (reader.num_rows, reader.batches_per_epoch) == (75, 3)
    assert [len(labels) for _, labels, _ in reader.read()] == [32, 32, 11]
    whole = rows_of(BatchReader(spec, files, batch_size=32).read())
    assert rows_of(reader.read()) == whole[:75]
    reader = BatchReader(spec, files, batch_size=32, limit=75, drop_remainder=True)
    assert reader.batches_per_epoch == 2
    assert [len(labels) for _, labels, _ in reader.read()] == [32, 32]


def test_without_labels_their_columns_are_not_read(tmp_path, files):
    spec = learned(files)
    assert {"click", "bought", "weight"}.isdisjoint(spec.columns(labels=False))
    rows = [{k: v for k, v in row.items() if k not in ("click", "bought")} for row in ROWS]
    pattern = write_parquet(tmp_path, rows)
    features, labels, weights = next(BatchReader(spec, pattern, labels=False).read())
    assert labels is None and weights is None and len(features["user"]) == len(ROWS)


@pytest.mark.parametrize("by_reference", [False, True])
def test_without_histories_their_columns_and_files_are_not_read(tmp_path, by_reference):
    write_events(tmp_path, EVENTS)
    spec = learned(write_parquet(tmp_path, ROWS), by_reference=by_reference)
    whole = next(BatchReader(spec, str(tmp_path / "*.parquet")).read())
    (tmp_path / "events.arrow").unlink()
    rows = [{k: v for k, v in row.items() if k[:2] != "h_" and k != "count"} for row in ROWS]
    pattern = write_parquet(tmp_path, rows)
    with pytest.raises(ValueError, match="events.arrow|h_item|count"):
        BatchReader(spec, pattern)
    features, labels, weights = next(BatchReader(spec, pattern, histories=False).read())
    assert list(features) == [key for key in whole[0] if not key.startswith("history/")]
    for key, values in features.items():
        np.testing.assert_array_equal(values, whole[0][key])
    np.testing.assert_array_equal(labels, whole[1])
    np.testing.assert_array_equal(weights, whole[2])


def test_data_of_one_window_are_decoded_once(files, monkeypatch):
    spec = learned(files)
    reader = BatchReader(spec, files, batch_size=16, shuffle=True, seed=1)
    first = rows_of(reader.read(0))
    monkeypatch.setattr(reader._encoder, "encode", None)
    assert rows_of(reader.read(0)) == first != rows_of(reader.read(1))


def test_a_reader_that_is_given_up_ends_its_thread(files):
    import threading

    spec = learned(files)
    reader = BatchReader(spec, files, batch_size=16, shuffle=True, shuffle_buffer=32)
    batches = reader.read(0)
    next(batches)
    batches.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("lmn_tf_reader")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        ({"shard": (2, 2)}, r"`shard` must be \(index, count\).*Received: shard=\(2, 2\)"),
        ({"limit": 0}, "`limit` must be at least 1. Received: limit=0"),
        ({"seed": -1}, r"`seed` must be in \[0, 2\*\*64\). Received: seed=-1"),
    ],
)
def test_wrong_arguments(files, options, message):
    with pytest.raises(ValueError, match=message):
        BatchReader(learned(files), files, **options)


def test_something_is_still_to_be_learned(files):
    with pytest.raises(ValueError, match="vocabulary of `user` must be learned"):
        BatchReader(shop_spec(), files)
