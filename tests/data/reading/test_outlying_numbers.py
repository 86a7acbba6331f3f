import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.feature_spec import FeatureSpec

STANDARDIZE, LOG = ["standardize"], ["log1p", "min_max"]


def some_spec(price=STANDARDIZE, seen=LOG, **options):
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "some",
            "labels": [{"name": "click"}],
            "features": [
                {"name": "price", "role": "item", "kind": "numeric", "transform": price, **options},
            ],
            "sequences": [
                {
                    "name": "past",
                    "max_length": 9,
                    "fields": [{"name": "seen", "kind": "numeric", "transform": seen}],
                }
            ],
        }
    )


def write(path, price, seen):
    rows = {"click": [0.0, 1.0] * (len(price) // 2), "price": price, "seen": seen}
    pq.write_table(pa.table(rows), path)
    return str(path)


@pytest.fixture
def train(tmp_path):
    """Returns a file with prices 10 to 30 and 0 to 99 views."""
    return write(tmp_path / "train.parquet", [10.0, 15.0, 30.0, 12.0], [[0.0, 99.0], [], [3.0], []])


def reader(train, tmp_path, price, seen, spec=None, **options):
    spec = some_spec() if spec is None else spec
    learn(spec, train)
    made = BatchReader(spec, write(tmp_path / "test.parquet", price, seen), 2, **options)
    for _ in range(2):  # the second epoch is not counted again
        list(made.read())
    return made.unfamiliar_values.outlying


def test_numbers_beyond_the_whole_range_are_counted(train, tmp_path):
    price = [-10.5, -9.5, 49.5, 50.5]
    seen = [[9_000.0, 12_000.0], [], [0.0], [1e6, 99.0]]
    outlying = reader(train, tmp_path, price, seen)
    # The range of log1p(views) is 0 to log(100); twice that is log(10,000).
    assert outlying.counts == {"price": (2, 4), "past/seen": (2, 5)}
    assert outlying.sentences() == [
        "`past/seen`: 2 of 5 numbers lie far outside the learned range 0 to 99; "
        "the farthest is 1e+06",
        "`price`: 2 of 4 numbers lie far outside the learned range 10 to 30; the farthest is -10.5",
    ]


def test_one_number_lies_far_outside(train, tmp_path):
    outlying = reader(train, tmp_path, [10.0, 20.0, 1e9, 30.0], [[]] * 4)
    assert outlying.counts == {"price": (1, 4), "past/seen": (0, 0)}
    assert outlying.sentences() == [
        "`price`: 1 of 4 numbers lies far outside the learned range 10 to 30; the farthest is 1e+09"
    ]


def test_training_data_have_none(train, tmp_path):
    table = pq.read_table(train)
    columns = [table["price"].to_pylist(), table["seen"].to_pylist()]
    outlying = reader(train, tmp_path, *columns)
    assert outlying.counts == {"price": (0, 4), "past/seen": (0, 3)}
    assert outlying.sentences() == []


@pytest.mark.parametrize(
    "transform", [[], ["log1p"], [{"min_max": [0, 9]}], ["standardize", {"bucketize": [0]}]]
)
def test_columns_without_a_learned_range_are_not_counted(train, tmp_path, transform):
    outlying = reader(train, tmp_path, [1e9] * 4, [[]] * 4, some_spec(price=transform))
    assert set(outlying.counts) == {"past/seen"}


def test_the_default_of_missing_numbers_is_not_counted(train, tmp_path):
    outlying = reader(train, tmp_path, [None, 5.0, None, -500.0], [[]] * 4, some_spec(default=-999))
    assert outlying.counts["price"] == (1, 2)


def test_a_default_that_its_transform_refuses_is_no_mistake_without_missing_numbers(
    train, tmp_path
):
    spec = some_spec(price=LOG, default=-1)
    outlying = reader(train, tmp_path, [10.0, 20.0, 20.0, 30.0], [[]] * 4, spec)
    assert outlying.counts["price"] == (0, 4)


def test_constant_columns_are_not_counted(tmp_path):
    train = write(tmp_path / "train.parquet", [5.0] * 4, [[1.0, 2.0]] * 4)
    outlying = reader(train, tmp_path, [5.0, 6.0, 5.0, 5.0], [[]] * 4)
    assert set(outlying.counts) == {"past/seen"}


def test_histories_that_are_not_read_are_not_counted(train, tmp_path):
    outlying = reader(train, tmp_path, [20.0] * 4, [[1e9]] * 4, histories=False)
    assert outlying.counts == {"price": (0, 4)}


@pytest.mark.parametrize("transform", [STANDARDIZE, LOG, ["min_max", "log1p"], ["min_max"]])
def test_the_farthest_number_is_that_of_the_data(train, tmp_path, transform):
    outlying = reader(train, tmp_path, [20.0, 123.0, 7000.0, 71.0], [[]] * 4, some_spec(transform))
    (sentence,) = outlying.sentences()
    assert sentence.endswith("far outside the learned range 10 to 30; the farthest is 7000")
