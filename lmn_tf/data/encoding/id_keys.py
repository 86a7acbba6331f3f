"""Canonical form of ids: their text.

An id is its text, independent of format and type. `as_keys` returns the ids of features, fields of
events, groups and users of events, in training, evaluation, prediction and serving.

- Text is unchanged, including blanks, leading zeros and capitals: `007`, `7` and ` 7` are three
  ids.
- An integer of any type and size, and a boolean (0 or 1), is the text that Python writes for it. So
  7 in Parquet or in a request is `7` in CSV, but not `007`.
- A whole float or decimal is the integer; NaN is missing. Floats whose type cannot represent every
  integer of their size (2^53 and more in float64, 2^24 and more in float32) are an error, since
  several ids may have been merged when they were written. Fractions and infinities are an error.
- A date is its text `2024-01-31`. Times of day, timestamps and bytes are an error, since there are
  several ways to write them.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.arrow_values import is_list, is_text
from lmn_tf.data.encoding.source_location import SourceLocation

_LAST_INT64 = "9223372036854775807"
_FIRST_INT64 = "-9223372036854775808"
_MANTISSA_BITS = {16: 11, 32: 24, 64: 53}


def as_keys(values: pa.Array, location: SourceLocation) -> pa.Array:
    """Returns ids as text, or as int64 if all of them are texts of such integers.

    int64 is a compact form of the same ids: integer 7 and text `7` are equal.

    Args:
        values: Arrow array of ids.
        location: `SourceLocation` of the values.

    Returns:
        Arrow array of int64, of text, or of text as a dictionary.

    Raises:
        UserError: If they are lists or times, or if a value has no unique text.

    Example:

    >>> location = SourceLocation.of_rows("a.parquet", "item", 0)
    >>> as_keys(pa.array([2**64 - 1, 7], pa.uint64()), location).to_pylist()
    ['18446744073709551615', '7']
    """
    kind = values.type
    if pa.types.is_int64(kind) or pa.types.is_string(kind):
        return values
    if pa.types.is_dictionary(kind):
        if is_text(kind.value_type):
            return values
        return as_keys(values.dictionary_decode(), location)
    if is_text(kind):
        return values.cast(pa.string())
    if pa.types.is_uint64(kind):
        largest = pc.max(values).as_py()
        fits = largest is None or largest < 2**63
        return values.cast(pa.int64() if fits else pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return values.cast(pa.int64())
    if pa.types.is_floating(kind):
        return _whole_floats(values, location)
    if pa.types.is_decimal(kind):
        return _whole_decimals(values, location)
    if pa.types.is_date(kind):
        return values.cast(pa.date32()).cast(pa.string())
    if is_list(kind):
        raise location.column_error("must hold one value, not lists", kind)
    raise location.column_error("must hold integers, text or dates, or be cast to text", kind)


def as_texts(keys: pa.Array) -> pa.Array:
    """Returns keys as text, not as a dictionary."""
    return keys if pa.types.is_string(keys.type) else keys.cast(pa.string())


def as_integers(texts: pa.Array) -> pa.Array:
    """Returns texts as int64 if they are integers as Python writes them, otherwise missing.

    Example:

    >>> as_integers(pa.array(["7", "007", "-0", "x"])).to_pylist()
    [7, None, None, None]
    """
    quick = quick_integers(texts)
    if quick is not None:
        return quick
    short = pc.match_substring_regex(texts, "^(0|-?[1-9][0-9]{0,17})$")
    long = pc.match_substring_regex(texts, "^-?[1-9][0-9]{18}$")
    if pc.any(long).as_py():
        # Texts of equal length compare like their numbers.
        last = pc.if_else(pc.starts_with(texts, "-"), _FIRST_INT64, _LAST_INT64)
        short = pc.or_(short, pc.and_(long, pc.less_equal(texts, last)))
    return pc.if_else(short, texts, pa.scalar(None, pa.string())).cast(pa.int64())


def quick_integers(texts: pa.Array) -> pa.Array | None:
    """Returns texts as int64 if all of them are integers as Python writes them."""
    # Much faster than a failing cast, which formats an error for each text.
    are_digits = pc.ascii_is_decimal(pc.ascii_ltrim(texts, "-"))
    if pc.any(pc.invert(are_digits)).as_py():
        return None
    try:
        numbers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return None
    return numbers if numbers.cast(pa.string()).equals(texts) else None


def _whole_floats(values, location):
    # Tools without missing integers (pandas) write ids as floats with NaN.
    bits = _MANTISSA_BITS[values.type.bit_width]
    numbers = values.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    fraction = ~missing & ((numbers != np.floor(numbers)) | np.isinf(numbers))
    if fraction.any():
        at = int(np.argmax(fraction))
        raise location.error(at, "the value must be an integer or text", float(numbers[at]))
    large = ~missing & (np.abs(numbers) >= 2.0**bits)
    if large.any():
        at = int(np.argmax(large))
        rule = (
            f"an id of type {values.type} must be smaller than 2^{bits}, from where on one float "
            "stands for several integers: write integers or text"
        )
        raise location.error(at, rule, int(numbers[at]))
    return pa.array(np.where(missing, 0, numbers).astype(np.int64), mask=missing)


def _whole_decimals(values, location):
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:  # one is larger, or a fraction
        texts = []
    for at, value in enumerate(values.to_pylist()):
        if value is not None and value != int(value):
            raise location.error(at, "the value must be an integer or text", str(value))
        texts.append(None if value is None else str(int(value)))
    return pa.array(texts, pa.string())
