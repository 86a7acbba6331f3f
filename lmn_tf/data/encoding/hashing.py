"""Hashes of values, equal on every machine and in every run."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.id_keys import as_integers, as_texts

# Group of rows without one, such as rows without a user; ids are unlikely to hash to it.
NO_GROUP = np.iinfo(np.int64).min


def splitmix64(values: np.ndarray) -> np.ndarray:
    """Returns the splitmix64 hash of unsigned 64-bit integers.

    Reference: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
    """
    with np.errstate(over="ignore"):
        x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def hash_values(values: pa.Array) -> np.ndarray:
    """Returns 64-bit hashes: splitmix64 of integers, BLAKE2b of text; missing values give 0.

    Text that is an int64 as Python writes it is hashed as that integer, since ids of all types are
    compared by their text.

    Args:
        values: Arrow array of int64 or text, as returned by `as_keys`.

    Returns:
        uint64 array of the same length.
    """
    if pa.types.is_integer(values.type):
        numbers = values.fill_null(0) if values.null_count else values
        numbers = numbers.to_numpy(zero_copy_only=False)
        hashes = splitmix64(numbers.astype(np.int64, copy=False).view(np.uint64))
    else:
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        table = np.append(_hash_texts(as_texts(values.dictionary)), np.uint64(0))
        cells = values.indices.fill_null(len(values.dictionary))
        hashes = table[cells.to_numpy(zero_copy_only=False)]
    if values.null_count:
        hashes = np.where(pc.is_null(values).to_numpy(zero_copy_only=False), np.uint64(0), hashes)
    return hashes


def group_ids(values: pa.Array) -> np.ndarray:
    """Returns the group of each row: int64 hashes, and `NO_GROUP` for missing values.

    Args:
        values: Arrow array of int64 or text, as returned by `as_keys`.
    """
    groups = hash_values(values).view(np.int64)
    if not values.null_count:
        return groups
    return np.where(pc.is_null(values).to_numpy(zero_copy_only=False), NO_GROUP, groups)


def _hash_texts(texts: pa.Array) -> np.ndarray:
    numbers = as_integers(texts)
    hashes = splitmix64(numbers.fill_null(0).to_numpy().view(np.uint64))
    if numbers.null_count:
        others = np.flatnonzero(pc.is_null(numbers).to_numpy(zero_copy_only=False))
        digests = b"".join(map(_digest, texts.take(pa.array(others)).to_pylist()))
        hashes[others] = np.frombuffer(digests, dtype="<u8")
    return hashes


def _digest(text: str | None) -> bytes:
    return hashlib.blake2b((text or "").encode(), digest_size=8).digest()
