"""Histories by reference keep a million rows with a thousand events each to tens of megabytes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from padded_batch import padded

from lmn_tf.data.preparers import prepare
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.feature_spec import FeatureSpec

USERS, EVENTS = 500, 2000
LONGEST = 2000


def log():
    """Every user's events in order, a minute to two apart, so that row i of one has i before it."""
    draw = np.random.default_rng(1)
    times = 1_600_000_000 + draw.integers(60, 120, (USERS, EVENTS)).cumsum(axis=1)
    items = draw.zipf(1.3, (USERS, EVENTS)) % 50_000
    return {
        "user_id": np.repeat(np.arange(USERS), EVENTS),
        "item_id": items.ravel(),
        "time": times.ravel(),
        "label": draw.integers(0, 2, USERS * EVENTS),
    }


def spec(inline):
    item = {"name": "item_id", "kind": "categorical", "lookup": {"hash": 1000}}
    fields = [
        {"name": "item_id", "like": "item_id"},
        {"name": "elapsed", "column": "time", "kind": "elapsed_time"},
    ]
    sequence = {"name": "history", "max_length": LONGEST, "fields": fields}
    if inline:
        fields[0]["column"], fields[1]["column"] = "history_item_id", "history_time"
    else:
        sequence["events"] = {"file": "events.arrow", "user": "user_id", "count": "history_count"}
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "long_histories",
            "request_time": "time",
            "labels": [{"name": "label"}],
            "features": [{**item, "role": "item"}],
            "sequences": [sequence],
        }
    )


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    source, folder = tmp_path_factory.mktemp("log"), tmp_path_factory.mktemp("prepared")
    pq.write_table(pa.table(log()), source / "log.parquet")
    names = {"user": "user_id", "item": "item_id", "time": "time", "label": "label"}
    prepare("interactions", source, folder, **names)
    return folder


@pytest.mark.slow
def test_a_million_rows_with_histories_of_a_thousand_are_tens_of_megabytes(prepared):
    counts = [
        pq.read_table(path, columns=["history_count"])["history_count"].to_numpy()
        for path in prepared.glob("*-*.parquet")
    ]
    counts = np.concatenate(counts)
    assert len(counts) == USERS * EVENTS == 1_000_000
    assert counts.mean() == (EVENTS - 1) / 2
    files = [*prepared.glob("*-*.parquet"), prepared / "events.arrow"]
    size = sum(path.stat().st_size for path in files)
    assert size < 100_000_000
    # Written out, an item and a time of 8 bytes each for every event of every row's history.
    assert 16 * int(counts.sum()) > 100 * size


def test_rows_read_the_same_as_with_their_histories_written_out(prepared, tmp_path):
    table = pq.read_table(next(prepared.glob("test-*.parquet")))
    rows = table.take(np.random.default_rng(2).integers(0, len(table), 48))
    pq.write_table(rows, prepared / "sample.parquet")
    whole = {name: values.reshape(USERS, EVENTS) for name, values in log().items()}
    twin = rows.select(["item_id", "time", "label"])
    users, counts = (rows[name].to_pylist() for name in ("user_id", "history_count"))
    for name in ("item_id", "time"):
        lists = [whole[name][user, :count] for user, count in zip(users, counts, strict=True)]
        twin = twin.append_column(f"history_{name}", pa.array(lists))
    pq.write_table(twin, tmp_path / "sample.parquet")
    found = BatchReader(spec(inline=False), str(prepared / "sample.parquet"), batch_size=16)
    want = BatchReader(spec(inline=True), str(tmp_path / "sample.parquet"), batch_size=16)
    longest = 0
    for one, other in zip(found.read(), want.read(), strict=True):
        longest = max(longest, int(one[0]["history/length"].max()))
        left, right = (padded(batch[0], spec(inline=True).sequences) for batch in (one, other))
        assert list(left) == list(right)
        for key, values in left.items():
            np.testing.assert_array_equal(values, right[key])
        np.testing.assert_array_equal(one[1], other[1])
    assert longest > 1500
