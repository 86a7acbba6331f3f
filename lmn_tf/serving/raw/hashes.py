"""Hashes of values within a graph, equal to those of the input pipeline."""

import numpy as np
import tensorflow as tf

from lmn_tf.serving.raw.texts import to_int64

_ROUNDS = 12
_BLOCK = 128
# The first eight words of the fractional parts of the square roots of primes, as in SHA-512.
_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
# A digest of 8 bytes, without a key, not part of a tree.
_PARAMETERS = 0x01010008
# The order in which a round reads the words of a block; after ten rounds it starts again.
_ORDERS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)


def splitmix64(values: tf.Tensor) -> tf.Tensor:
    """Returns the splitmix64 hash of unsigned 64-bit integers.

    Args:
        values: uint64 tensor.

    Reference: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".

    Example:

    >>> hex(int(splitmix64(tf.constant(0, tf.uint64))))
    '0xe220a8397b1dcdaf'
    """
    x = values + _word(0x9E3779B97F4A7C15)
    x = (x ^ _right(x, 30)) * _word(0xBF58476D1CE4E5B9)
    x = (x ^ _right(x, 27)) * _word(0x94D049BB133111EB)
    return x ^ _right(x, 31)


def hash_texts(texts: tf.Tensor) -> tf.Tensor:
    """Returns 64-bit hashes: splitmix64 of the texts of int64s, BLAKE2b of others.

    Args:
        texts: String tensor of shape `(values,)`.

    Returns:
        uint64 tensor of shape `(values,)`.
    """
    numbers, are_numbers = to_int64(texts)
    hashes = splitmix64(tf.bitcast(numbers, tf.uint64))
    others = tf.where(~are_numbers)
    return tf.tensor_scatter_nd_update(hashes, others, blake2b(tf.gather_nd(texts, others)))


def blake2b(texts: tf.Tensor) -> tf.Tensor:
    """Returns the BLAKE2b hash of 8 bytes of each text, as a little-endian number.

    Args:
        texts: String tensor of shape `(values,)`.

    Returns:
        uint64 tensor of shape `(values,)`.

    Reference: RFC 7693.

    Example:

    >>> hex(int(blake2b(tf.constant(["abc"]))[0]))
    '0x5995d533d814bbd8'
    """
    return _blake2b(texts)


# A function of its own, which a graph holds once, however many columns are hashed.
@tf.function(
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)
def _blake2b(texts):
    lengths = tf.strings.length(texts)
    blocks = tf.maximum(-(-lengths // _BLOCK), 1)
    count = tf.reduce_max(tf.concat([[0], blocks], axis=0))  # 0 where there is no text
    words = tf.io.decode_raw(texts, tf.int64, fixed_length=tf.maximum(count, 1) * _BLOCK)
    words = tf.reshape(tf.transpose(tf.bitcast(words, tf.uint64)), [-1, 16, tf.shape(texts)[0]])
    first = _words(_IV[0] ^ _PARAMETERS, *_IV[1:])
    state = tf.tile(first[:, None], [1, tf.shape(texts)[0]])  # (8, values)

    def step(block, state):
        done = tf.minimum(lengths, (block + 1) * _BLOCK)
        new = _compressed(state, words[block], done, block + 1 == blocks)
        return block + 1, tf.where(block < blocks, new, state)

    shapes = [tf.TensorShape([]), tf.TensorShape([8, None])]
    _, state = tf.while_loop(lambda block, _: block < count, step, [0, state], shapes)
    return state[0]


def _compressed(state, words, done, is_last):
    """The state after a block of 16 words: 8 words of each text, `(8, values)`."""
    offset = tf.cast(done, tf.uint64)
    last = tf.cast(is_last, tf.uint64) * _word(2**64 - 1)
    zero = tf.zeros_like(offset)
    a, b = state[:4], state[4:]
    c = tf.tile(_words(*_IV[:4])[:, None], [1, tf.shape(words)[1]])
    d = _words(*_IV[4:])[:, None] ^ tf.stack([offset, zero, last, zero])
    for number in range(_ROUNDS):
        order = _ORDERS[number % len(_ORDERS)]
        # Four columns of the 4 x 4 state at once, then its four diagonals.
        a, b, c, d = _mixed(a, b, c, d, words, order[:8])
        b, c, d = tf.roll(b, -1, 0), tf.roll(c, -2, 0), tf.roll(d, -3, 0)
        a, b, c, d = _mixed(a, b, c, d, words, order[8:])
        b, c, d = tf.roll(b, 1, 0), tf.roll(c, 2, 0), tf.roll(d, 3, 0)
    return state ^ tf.concat([a ^ c, b ^ d], axis=0)


def _mixed(a, b, c, d, words, order):
    for word, (of_d, of_b) in enumerate(((32, 24), (16, 63))):
        a = a + b + tf.gather(words, order[word::2])
        d = _rotated(d ^ a, of_d)
        c = c + d
        b = _rotated(b ^ c, of_b)
    return a, b, c, d


def _rotated(x, count):
    left = tf.bitwise.left_shift(x, _word(64 - count))
    return _right(x, count) | left


def _right(x, count):
    return tf.bitwise.right_shift(x, _word(count))


def _word(value):
    return tf.constant(np.uint64(value))


def _words(*values):
    # From a list of integers, a graph would take the nearest float64s.
    return tf.constant(np.array(values, np.uint64))
