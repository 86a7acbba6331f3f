import numpy as np
import pyarrow as pa
import pytest
from small_shop import shop_dict

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.column_encoder import ColumnEncoder
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.feature_spec import FeatureSpec

PLACE = SourceLocation.of_rows("a.parquet", "x", 0)


def encoder(name, **changes):
    plain = shop_dict()
    for feature in plain["features"]:
        if feature["name"] == name:
            feature.update(changes)
    spec = FeatureSpec.from_dict(plain)
    return ColumnEncoder(spec, spec.feature(name))


def test_columns():
    assert encoder("tags").columns == ("tags", "tag_weights")
    assert encoder("price", column="cost").columns == ("cost",)


def test_multi_values_keep_the_first_ones():
    values = pa.array([["blue", "red", "grey", "green"], None, [None]])
    weights = pa.array([[1, 2, 3, 4], [], [0.5]], pa.list_(pa.float64()))
    ragged = encoder("tags").encode(values, PLACE, weights)
    assert ragged.values.tolist() == [4, 2, 1, 1]
    assert ragged.starts.tolist() == [0, 3, 3] and ragged.lengths.tolist() == [3, 0, 1]
    assert ragged.weights.tolist() == [1, 2, 3, 0.5] and ragged.weights.dtype == np.float32


def test_multi_values_in_text_cells():
    ragged = encoder("tags", separator=";").encode(pa.array(["red;blue", "", None]), PLACE)
    assert ragged.values.tolist() == [2, 4] and ragged.lengths.tolist() == [2, 0, 0]


def test_vectors():
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float64(), 3)):
        numbers = encoder("look").encode(pa.array([[1, 2, 3], [4, 5, 6]], kind), PLACE)
        assert numbers.dtype == np.float32 and numbers.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_times():
    assert encoder("since").encode(pa.array([2, None]), PLACE).tolist() == [2_000_000, MISSING_TIME]


@pytest.mark.parametrize(
    ("name", "values", "weights", "message"),
    [
        (
            "look",
            [[1.0, 2.0, 3.0], [1.0, 2.0]],
            None,
            "a.parquet: column `x`, row 2: a vector must have 3 numbers. Received: '2 numbers'",
        ),
        ("look", [[1.0, 2.0, np.nan]], None, "row 1: a number of a vector must be finite as"),
        ("look", [1.0], None, "column `x` must hold a list in each row. Received: double"),
        ("tags", [1], None, "column `x` must hold a list in each row. Received: int64"),
        ("tags", [[["red"]]], None, "column `x` must hold one value, not lists"),
        ("hour", [[1]], None, "column `x` must hold one value, not lists"),
        ("price", [[1.0]], None, "column `x` must hold one number, not lists"),
        (
            "tags",
            [["red"], ["red", "blue"]],
            [[1.0], [1.0]],
            r"column `tag_weights`, row 2: there must be one weight for each value of `tags` \(2\)",
        ),
        (
            "tags",
            [["red"], ["red", "blue"]],
            [[1.0], [1.0, None]],
            "column `tag_weights`, row 2: a weight must be finite as float32.*Received: nan",
        ),
    ],
)
def test_columns_that_are_refused(name, values, weights, message):
    weights = None if weights is None else pa.array(weights)
    with pytest.raises(ValueError, match=message):
        encoder(name).encode(pa.array(values), PLACE, weights)


def test_what_is_still_to_be_learned():
    with pytest.raises(ValueError, match="the statistics of `price` must be learned"):
        encoder("price", transform="standardize")
    with pytest.raises(ValueError, match="the vocabulary of `user` must be learned"):
        encoder("user")
