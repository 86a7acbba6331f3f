import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.hashing import hash_values
from lmn_tf.data.id_encoder import IdEncoder
from lmn_tf.data.place import Place
from lmn_tf.specs.lookup import Lookup

PLACE = Place.of_rows("a.parquet", "color", 0)
COLORS = ("red", "green")


def encode(values, lookup, vocabulary=None, default=None):
    ids = IdEncoder("color", lookup, vocabulary, default).encode(values, PLACE)
    assert ids.dtype == np.int32
    return ids.tolist()


@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize(("unknown", "other"), [("own_id", 1), ("padding", 0)])
def test_vocabulary(coded, unknown, other):
    values = pa.array(["green", "red", "blue", None, "green"])
    values = values.dictionary_encode() if coded else values
    lookup = Lookup(vocabulary=COLORS, unknown=unknown)
    assert encode(values, lookup, COLORS) == [3, 2, other, other, 3]
    assert encode(values, lookup, COLORS, default="red") == [3, 2, other, 2, 3]


def test_vocabulary_files_hold_text_for_integers_too():
    lookup = Lookup(vocabulary="ids.txt")
    assert encode(pa.array([30, 20, 10]), lookup, ["10", "20"]) == [1, 3, 2]
    assert encode(pa.array(["20", "7"]), lookup, [10, 20]) == [3, 1]


def test_identity():
    lookup = Lookup(identity=3)
    assert encode(pa.array([0, 2, 3, -1, None]), lookup) == [2, 4, 1, 1, 1]
    assert encode(pa.array(["0", "2"]), lookup) == [2, 4]
    assert encode(pa.array([1.0, np.nan]), lookup, default=2) == [3, 4]


def test_hash():
    values = pa.array(["a", "b", None])
    hashes = (hash_values(values) % np.uint64(10)).tolist()
    lookup = Lookup(hash=10)
    assert encode(values, lookup) == [hashes[0] + 2, hashes[1] + 2, 1]
    assert encode(values.dictionary_encode(), lookup) == encode(values, lookup)
    assert encode(values, lookup, default="a")[2] == hashes[0] + 2
    numbers = pa.array(np.arange(10_000))
    assert set(encode(numbers, lookup)) == set(range(2, 12))


@pytest.mark.parametrize(
    ("values", "lookup", "vocabulary", "message"),
    [
        (
            pa.array([0, 5]),
            Lookup(identity=3, unknown="error"),
            None,
            r"a.parquet: column `color`, row 2: the value must be in 0\.\.2. Received: 5",
        ),
        (
            pa.array(["red", "blue"]),
            Lookup(vocabulary=COLORS, unknown="error"),
            COLORS,
            "row 2: the value must be in the vocabulary of `color`. Received: 'blue'",
        ),
        (
            pa.array(["red", None]).dictionary_encode(),
            Lookup(vocabulary=COLORS, unknown="error"),
            COLORS,
            "row 2: the value must be in the vocabulary of `color`. Received: None",
        ),
        (
            pa.array(["1", "x"]),
            Lookup(identity=3),
            None,
            "row 2: the value must be an integer. Received: 'x'",
        ),
        (
            pa.array([1]),
            Lookup(vocabulary=COLORS),
            COLORS,
            "column `color` must hold text, like the vocabulary of `color`, which has 'red'. "
            "Received: int64",
        ),
    ],
)
def test_values_that_are_refused(values, lookup, vocabulary, message):
    with pytest.raises(ValueError, match=message):
        encode(values, lookup, vocabulary)


def test_a_default_of_the_wrong_type():
    with pytest.raises(ValueError, match="`default` of `color` must be an integer.*default='x'"):
        encode(pa.array([1, None]), Lookup(hash=5), default="x")


@pytest.mark.parametrize("kind", [pa.null(), pa.int64(), pa.string()])
def test_columns_without_any_value_may_have_any_type(kind):
    values = pa.array([None, None], kind)
    lookup = Lookup(vocabulary=COLORS)
    assert encode(values, lookup, COLORS) == [1, 1]
    assert encode(values, lookup, COLORS, default="green") == [3, 3]
    assert encode(values[:0], lookup, COLORS) == []
    assert encode(values, Lookup(identity=5), default=3) == [5, 5]
