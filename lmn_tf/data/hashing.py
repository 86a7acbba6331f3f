"""Hashes of values that are the same on every machine and in every run."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


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

    Text that is an integer as Python writes it is hashed as that integer: whether a column of ids
    comes as text or as numbers (CSV has no types) must not change its hashes.

    Args:
        values: Arrow array of int64 or text.

    Returns:
        uint64 array of the same length.
    """
    if pa.types.is_integer(values.type):
        numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
        hashes = splitmix64(numbers.astype(np.int64).view(np.uint64))
    else:
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        texts = values.dictionary.to_pylist()
        digests = b"".join(map(_digest, texts)) + bytes(8)
        table = np.frombuffer(digests, dtype="<u8").copy()
        numbers = {at: int(text) for at, text in enumerate(texts) if _is_integer(text)}
        whole = np.fromiter(numbers.values(), np.int64, len(numbers))
        table[np.fromiter(numbers, np.int64, len(numbers))] = splitmix64(whole.view(np.uint64))
        hashes = table[values.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)]
    if values.null_count:
        hashes = np.where(pc.is_null(values).to_numpy(zero_copy_only=False), np.uint64(0), hashes)
    return hashes


def _digest(text: str | None) -> bytes:
    return hashlib.blake2b((text or "").encode(), digest_size=8).digest()


def _is_integer(text: str | None) -> bool:
    """Returns whether a text is an int64 in its usual form: no zeros in front, no sign but `-`."""
    digits = (text or "").removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19:
        return False
    return str(int(text)) == text and -(2**63) <= int(text) < 2**63
