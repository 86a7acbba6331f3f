import hashlib

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lmn_tf.data.encoding import hashing
from lmn_tf.serving.raw.hashes import blake2b, hash_texts, splitmix64

# From the RFC's own implementation: hashlib has no code in common with TensorFlow.
LENGTHS = [0, 1, 7, 8, 63, 64, 127, 128, 129, 255, 256, 257, 1000]


def digest(text):
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def test_blake2b_at_the_borders_of_words_and_blocks():
    texts = [bytes(np.random.default_rng(n).integers(1, 256, n, np.uint8)) for n in LENGTHS]
    assert blake2b(tf.constant(texts)).numpy().tolist() == [digest(text) for text in texts]
    assert blake2b(tf.zeros([0], tf.string)).shape == (0,)


@settings(max_examples=30)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=8))
def test_blake2b_of_any_text(texts):
    texts = [text.encode() for text in texts]
    found = blake2b(tf.constant(texts, tf.string, [len(texts)]))
    assert found.numpy().tolist() == [digest(text) for text in texts]


def test_constants_are_exact_within_a_graph():
    graph = tf.function(lambda texts: blake2b(texts), autograph=False)
    assert int(graph(tf.constant(["abc"]))[0]) == digest(b"abc")


def test_splitmix64():
    values = np.random.default_rng(0).integers(0, 2**64, 100, dtype=np.uint64)
    values = np.append(values, np.array([0, 2**63, 2**64 - 1], np.uint64))
    for run in (splitmix64, tf.function(splitmix64, autograph=False)):
        found = run(tf.constant(values)).numpy()
        np.testing.assert_array_equal(found, hashing.splitmix64(values))


def test_numbers_are_hashed_as_numbers_and_others_as_texts():
    hashes = hash_texts(tf.constant(["7", "007", "-5"])).numpy()
    seven, five = hashing.splitmix64(np.array([7, -5]).view(np.uint64))
    assert hashes.tolist() == [seven, digest(b"007"), five]
