import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.feature_spec import FeatureSpec

KNOWN = {"vocabulary": ["a", "b"]}


def spec(lookup=KNOWN):
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "some",
            "labels": [{"name": "click"}],
            "features": [
                {"name": "user", "role": "user", "kind": "categorical", "lookup": lookup},
                {"name": "tags", "role": "item", "kind": "multi_value", "lookup": KNOWN},
                {"name": "known", "role": "item", "kind": "categorical", "lookup": {"hash": 9}},
                {"name": "price", "role": "item", "kind": "numeric"},
            ],
            "sequences": [
                {"name": "past", "max_length": 2, "fields": [{"name": "of", "like": "user"}]}
            ],
        }
    )


@pytest.fixture
def files(tmp_path):
    """Returns the glob of 600 rows in three files."""
    columns = {
        "click": [0, 1, 0] * 200,
        "user": ["a", "b", "c"] * 199 + ["a", None, "b"],
        "tags": [["a", "x"], [], ["x", "y", "b"]] * 200,
        "known": ["a", "b", "c"] * 200,
        "price": [1.0] * 600,
        "of": [["a", "x", "b"], ["x"], []] * 200,
    }
    table = pa.table(columns)
    for number in range(3):
        pq.write_table(table.slice(200 * number, 200), tmp_path / f"{number}.parquet")
    return f"{tmp_path}/*.parquet"


COUNTS = {"user": (200, 600), "tags": (600, 1000), "known": (0, 600), "past/of": (400, 600)}


@pytest.mark.parametrize("buffer", [64, 1000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_each_row_is_counted_once(files, buffer, shuffle):
    reader = BatchReader(spec(), files, 64, shuffle=shuffle, shuffle_buffer=buffer)
    assert reader.unfamiliar_values.unknown.counts == {}
    for epoch in range(2):
        rows = sum(len(labels) for _, labels, _ in reader.read(epoch))
        assert rows == 600 and reader.unfamiliar_values.unknown.counts == COUNTS


def test_an_epoch_that_is_left_is_counted_anew(files):
    reader = BatchReader(spec(), files, 64, shuffle=True, shuffle_buffer=64)
    list(reader.read(start_batch=4))
    assert reader.unfamiliar_values.unknown.counts == {}
    rows = reader.read()
    next(rows), next(rows)
    assert 0 < reader.unfamiliar_values.unknown.counts["user"][1] < 600
    rows.close()
    list(reader.read(epoch=1))
    assert reader.unfamiliar_values.unknown.counts == COUNTS


def test_counts_are_those_of_the_batches(files):
    reader = BatchReader(spec(), files, 64, limit=100)
    batches = [features for features, _, _ in reader.read()]
    for key, (unknown, count) in reader.unfamiliar_values.unknown.counts.items():
        ids = np.concatenate([batch[key].ravel() for batch in batches])
        assert (np.count_nonzero(ids == 1), np.count_nonzero(ids)) == (unknown, count)


def test_histories_that_are_not_read_are_not_counted(files):
    reader = BatchReader(spec(), files, 64, histories=False)
    list(reader.read())
    assert "past/of" not in reader.unfamiliar_values.unknown.counts


def test_sentences_begin_with_the_largest_share(files):
    reader = BatchReader(spec(), files, 64)
    assert reader.unfamiliar_values.unknown.sentences() == []
    list(reader.read())
    assert reader.unfamiliar_values.unknown.sentences() == [
        "`past/of`: 400 of 600 values (66.7 %) are unknown or missing",
        "`tags`: 600 of 1,000 values (60.0 %) are unknown or missing",
        "`user`: 200 of 600 values (33.3 %) are unknown or missing",
    ]


def test_values_without_an_id_of_their_own_are_not_counted(files):
    reader = BatchReader(spec({**KNOWN, "unknown": "padding"}), files, 64)
    list(reader.read())
    assert set(reader.unfamiliar_values.unknown.counts) == {"tags", "known"}
