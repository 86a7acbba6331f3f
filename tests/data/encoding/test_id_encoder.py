import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.hashing import hash_values
from lmn_tf.data.encoding.id_encoder import IdEncoder
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.lookup import Lookup

PLACE = SourceLocation.of_rows("a.parquet", "color", 0)
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


@pytest.mark.parametrize("coded", [False, True])
def test_unknown_values_are_counted_without_missing_ones(coded):
    values = pa.array(["green", "blue", "grey", None, "green"])
    values = values.dictionary_encode() if coded else values
    counts = {}
    place = dataclasses.replace(PLACE, unknown=counts)
    for lookup in (Lookup(vocabulary=COLORS), Lookup(vocabulary=COLORS, unknown="padding")):
        for default, vocabulary in ((None, COLORS), ("red", COLORS), ("grey", COLORS[:1])):
            counts.clear()
            IdEncoder("color", lookup, vocabulary, default).encode(values, place)
            assert counts == {"color": 2 if vocabulary is COLORS else 4}
    IdEncoder("color", Lookup(vocabulary=COLORS), COLORS).encode(values, place)
    assert counts == {"color": 4}  # another feature of the column knew fewer
    counts.clear()
    IdEncoder("color", Lookup(hash=10), None).encode(values, place)
    IdEncoder("color", Lookup(identity=9), None).encode(pa.array([3, None, 8]), place)
    assert counts == {}


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
            pa.array(["1", "2", "0x10", "3"]).dictionary_encode(),
            Lookup(identity=3),
            None,
            "row 3: the value must be an integer. Received: '0x10'",
        ),
    ],
)
def test_values_that_are_refused(values, lookup, vocabulary, message):
    with pytest.raises(ValueError, match=message):
        encode(values, lookup, vocabulary)


def test_a_default_is_an_id_like_others():
    for lookup in (Lookup(hash=50), Lookup(vocabulary=("x", "7"))):
        vocabulary = lookup.vocabulary
        for default in ("x", 7, "7"):
            (wanted,) = encode(pa.array([str(default)]), lookup, vocabulary)
            for values in (pa.array([1, None]), pa.array(["a", None]), pa.array([1.0, np.nan])):
                assert encode(values, lookup, vocabulary, default=default)[1] == wanted


def test_integers_are_unknown_where_only_texts_are_known():
    assert encode(pa.array([1, 7]), Lookup(vocabulary=COLORS), COLORS) == [1, 1]
    assert encode(pa.array([1, 7]), Lookup(vocabulary=COLORS), ["red", "7", "007"]) == [1, 3]


def test_zeros_in_front_tell_ids_apart():
    texts = pa.array(["007", "7", "1e5", "100000", "0x10", "16", "10.1", "10.10", " a", "a", "nan"])
    lookup = Lookup(hash=1 << 30)
    assert len(set(encode(texts, lookup))) == len(texts)
    assert encode(texts, Lookup(vocabulary="v.txt"), texts.to_pylist()) == list(range(2, 13))


def test_identity_reads_numbers():
    texts = ["07", "+5", "5.0", "-0", "9", "00000000000000000000005", "9" * 30, "-3", " 7 ", None]
    wanted = [9, 7, 7, 2, 11, 7, 1, 1, 9, 1]
    for values in (pa.array(texts), pa.array(texts).dictionary_encode()):
        assert encode(values, Lookup(identity=10)) == wanted
    assert encode(pa.array([2**64 - 1, 7], pa.uint64()), Lookup(identity=10)) == [1, 9]


def test_only_numbers_of_these_rows_are_read():
    coded = pa.array(["x", "1", "2"]).dictionary_encode()
    assert encode(coded.slice(1), Lookup(identity=3)) == [3, 4]


def test_vocabularies_past_int64():
    vocabulary = [str(2**64 - 1), "8", 10**30]
    lookup = Lookup(vocabulary="ids.txt")
    assert encode(pa.array([7, 8]), lookup, vocabulary) == [1, 3]
    assert encode(pa.array([2**64 - 1, 8], pa.uint64()), lookup, vocabulary) == [2, 3]
    assert encode(pa.array([str(10**30)]), lookup, vocabulary) == [4]


@pytest.mark.parametrize("kind", [pa.null(), pa.int64(), pa.string()])
def test_columns_without_any_value_may_have_any_type(kind):
    values = pa.array([None, None], kind)
    lookup = Lookup(vocabulary=COLORS)
    assert encode(values, lookup, COLORS) == [1, 1]
    assert encode(values, lookup, COLORS, default="green") == [3, 3]
    assert encode(values[:0], lookup, COLORS) == []
    assert encode(values, Lookup(identity=5), default=3) == [5, 5]
