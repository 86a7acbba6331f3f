import hashlib

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.hashing import NO_GROUP, group_ids, hash_values, splitmix64


def test_splitmix64_gives_the_published_sequence():
    # The generator adds the constant before mixing: seed 1234567's first outputs.
    step = 0x9E3779B97F4A7C15
    seeds = np.array([(1234567 + i * step) % 2**64 for i in range(3)], np.uint64)
    wanted = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert splitmix64(seeds).tolist() == wanted


def test_text_is_hashed_alike_in_every_arrow_form():
    texts = ["a", "ü", None, "a", ""]
    wanted = [
        0
        if text is None
        else int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
        for text in texts
    ]
    for array in (pa.array(texts), pa.array(texts).dictionary_encode()):
        assert hash_values(array).tolist() == wanted
    assert hash_values(pa.array(texts).slice(1, 3)).tolist() == wanted[1:4]


@pytest.mark.parametrize("values", [[1, None, -5], []])
def test_integers(values):
    hashes = hash_values(pa.array(values, pa.int64()))
    assert hashes.dtype == np.uint64
    wanted = [
        0 if value is None else splitmix64(np.array([value]).view(np.uint64))[0] for value in values
    ]
    assert hashes.tolist() == wanted


def test_ids_hash_alike_as_text_and_as_numbers():
    numbers = [0, 7, -5, 2**63 - 1, -(2**63), None]
    texts = pa.array([None if value is None else str(value) for value in numbers])
    wanted = hash_values(pa.array(numbers, pa.int64())).tolist()
    assert hash_values(texts).tolist() == wanted
    assert hash_values(texts.dictionary_encode()).tolist() == wanted
    other = ["007", "+7", "-0", " 7", "7.0", "٧", "-", str(2**63), "9" * 40]
    for text, found in zip(other, hash_values(pa.array(other)).tolist(), strict=True):
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        assert found == int.from_bytes(digest, "little"), text


@pytest.mark.parametrize("values", [[7, None, 7, 0], ["7", None, "7", ""]])
def test_missing_groups_are_no_group(values):
    array = pa.array(values)
    first, missing, again, other = group_ids(array).tolist()
    assert missing == NO_GROUP and first == again != other != NO_GROUP
    assert [first, other] == hash_values(array).view(np.int64)[[0, 3]].tolist()
