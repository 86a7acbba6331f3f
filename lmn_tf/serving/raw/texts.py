"""Texts of numbers within a graph."""

import functools

import tensorflow as tf

# Stands for a missing value where text is given: no id of a table is this text.
MISSING_TEXT = "\0"
# What Arrow and Python call white space, beyond the blanks that TensorFlow strips.
_BLANKS = (
    r"[\x{09}-\x{0d}\x{1c}-\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}"
    r"\x{205f}\x{3000}]"
)
_LAST = str(2**63 - 1)


def to_int64(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns texts as numbers if they are int64s as Python writes them.

    Args:
        texts: String tensor.

    Returns:
        Pair of an int64 tensor, 0 for other texts, and a boolean one: whether a text is a number.

    Example:

    >>> numbers, are_numbers = to_int64(tf.constant(["7", "007", "-0", "9223372036854775808"]))
    >>> numbers.numpy().tolist(), are_numbers.numpy().tolist()
    ([7, 0, 0, 0], [True, False, False, False])
    """
    are_numbers = tf.strings.regex_full_match(texts, int64_pattern())
    return tf.strings.to_number(tf.where(are_numbers, texts, "0"), tf.int64), are_numbers


@functools.cache
def int64_pattern() -> str:
    """Returns the regular expression of the int64s as Python writes them.

    Example:

    >>> import re
    >>> [bool(re.fullmatch(int64_pattern(), text)) for text in (str(2**63 - 1), str(2**63))]
    [True, False]
    """
    # Numbers of 19 digits: those that first differ from the largest one at a digit, and itself.
    long = [
        f"{_LAST[:at]}[{int(at == 0)}-{int(digit) - 1}][0-9]{{{len(_LAST) - at - 1}}}"
        for at, digit in enumerate(_LAST)
        if int(digit) > (at == 0)
    ]
    positive = "|".join(["[1-9][0-9]{0,17}", *long, _LAST])
    return f"0|-?(?:{positive})|-{2**63}"


def to_decimal(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns texts of decimal integers as numbers: here ` 7`, `+7`, `07` and `7.0` are 7.

    Args:
        texts: String tensor.

    Returns:
        Pair of an int64 tensor, -1 for other texts and for numbers of more than 18 digits and
        sign, and a boolean one: whether a text is a decimal integer.

    Example:

    >>> numbers, are_numbers = to_decimal(tf.constant([" 7", "+07.0", "7.5", "9" * 30]))
    >>> numbers.numpy().tolist(), are_numbers.numpy().tolist()
    ([7, 7, -1, -1], [True, True, False, True])
    """
    texts = tf.strings.regex_replace(texts, f"^{_BLANKS}+|{_BLANKS}+$", "")
    are_numbers = tf.strings.regex_full_match(texts, r"[+-]?[0-9]+(\.0*)?")
    digits = tf.strings.regex_replace(texts, r"^\+?(-?)0*([0-9]+?)(\.0*)?$", r"\1\2")
    fit = are_numbers & (tf.strings.length(digits) <= 18)
    return tf.strings.to_number(tf.where(fit, digits, "-1"), tf.int64), are_numbers
