"""Conversion of Arrow columns to numbers, times and lists, with checks."""

import contextlib
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.ragged import flat_index, starts_of
from lmn_tf.data.encoding.source_location import SourceLocation

TIMESTAMPS = pa.timestamp("us"), pa.timestamp("us", "UTC")  # texts without a time zone, and with
MISSING_TIME = np.iinfo(np.int64).min
_SECOND = 1_000_000  # times are microseconds
# The year 5138. Milliseconds are beyond it from March 1973 on.
LATEST_SECOND = 100_000_000_000
TIME_UNITS = {
    "second": 1,
    "millisecond": 1_000,
    "microsecond": 1_000_000,
    "nanosecond": 1_000_000_000,
}


def is_list(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is a list of any kind."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(fits(kind) for fits in kinds)


def is_text(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is text of any kind."""
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is binary of any kind."""
    kinds = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(fits(kind) for fits in kinds)


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Returns a column as one array, without a copy if it is one already."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.chunk(0) if joined.num_chunks else pa.array([], joined.type)
    return joined


def as_numbers(
    values: pa.Array, location: SourceLocation, rule: str = "the value must be a number"
) -> np.ndarray:
    """Returns float64 numbers, NaN where missing; the array may be read-only.

    Args:
        values: Arrow array.
        location: `SourceLocation` of the values.
        rule: String. What a text must be, for messages. Defaults to `"the value must be a number"`.

    Raises:
        UserError: A value is not a number.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if is_text(kind):
        try:
            values = pc.cast(pc.utf8_trim_whitespace(values), pa.float64())
        except pa.ArrowInvalid:
            at = _first_text(values)
            raise location.error(at, rule, values[at].as_py()) from None
    elif is_list(kind):
        raise location.column_error("must hold one number, not lists", kind)
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise location.column_error("must hold numbers", kind)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64(), safe=False)
    if values.null_count:
        values = values.fill_null(np.nan)
    return values.to_numpy(zero_copy_only=False)


def as_float32(
    numbers: np.ndarray, location: SourceLocation, what: str, given: np.ndarray | None = None
) -> np.ndarray:
    """Returns float64 numbers as float32.

    Args:
        numbers: float64 array.
        location: `SourceLocation` of the values.
        what: String. Meaning of the numbers, for messages.
        given: Array of the numbers as in the data. Defaults to `None`: `numbers`.

    Raises:
        UserError: If a number is not finite, or too large for float32.
    """
    with np.errstate(over="ignore"):
        cast = numbers.astype(np.float32)
    finite = np.isfinite(cast)
    if not finite.all():
        at = int(np.argmin(finite))
        received = float((numbers if given is None else given)[at])
        raise location.error(at, f"{what} must be finite as float32 (up to 3.4e38)", received)
    return cast


def _first_text(values: pa.Array) -> int:
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(pc.utf8_trim_whitespace(values.slice(low, middle - low)), pa.float64())
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


def as_times(values: pa.Array, location: SourceLocation, unit: str = "second") -> np.ndarray:
    """Returns times as int64 microseconds, and `MISSING_TIME` for missing ones.

    Args:
        values: Arrow array of timestamps or dates, whose type has a unit, of numbers, or of the
            text of either.
        location: `SourceLocation` of the values.
        unit: String. Unit of numbers, which count from 1970: a key of `TIME_UNITS`. Defaults to
            `"second"`.

    Raises:
        UserError: If a value is not a time, or too far from 1970 for `unit`.
    """
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if is_text(values.type):
        values = _as_timestamps(values)
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _moments(values, location)
    if pa.types.is_integer(kind) and not pa.types.is_uint64(kind):
        values = values.cast(pa.int64())
        missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        numbers = (values.fill_null(0) if values.null_count else values).to_numpy()
    else:
        rule = (
            f"a time must be a number of {unit}s since 1970, or a text such as "
            "2024-01-31 12:00:00, all of the column with a time zone (Z, +01:00) or all without"
        )
        numbers = as_numbers(values, location, rule)
        missing = np.isnan(numbers)
        numbers = np.where(missing, 0.0, numbers)
    per_second = TIME_UNITS[unit]
    latest = LATEST_SECOND * per_second
    if len(numbers) and (numbers.min() < -latest or numbers.max() > latest):
        at = int(np.argmax((numbers < -latest) | (numbers > latest)))
        raise _far_time(numbers[at].item(), location, at, unit)
    if numbers.dtype != np.int64:
        times = np.rint(numbers * (_SECOND / per_second)).astype(np.int64)
    elif per_second <= _SECOND:
        times = numbers * (_SECOND // per_second)
    else:
        times = numbers // (per_second // _SECOND)
    return times if missing is None else np.where(missing, MISSING_TIME, times)


def _as_timestamps(texts):
    """Returns texts as timestamps if all of them are, such as a column that is also an id."""
    for kind in TIMESTAMPS:
        with contextlib.suppress(pa.ArrowInvalid):
            return pc.cast(texts, kind)
    return texts


def _moments(values, location):
    """Returns timestamps and dates as int64 microseconds."""
    kind = pa.timestamp("us", getattr(values.type, "tz", None))
    try:
        cast = pc.cast(values, options=pc.CastOptions(kind, allow_time_truncate=True))
    except pa.ArrowInvalid as error:
        raise location.column_error("must hold times within 290,000 years of 1970", error) from None
    return cast.cast(pa.int64()).fill_null(MISSING_TIME).to_numpy(zero_copy_only=False)


def _far_time(number, location, at, unit):
    """Returns the error of a time that is not in `unit`, with a suggestion of the unit."""
    likely = [name for name, size in TIME_UNITS.items() if abs(number) <= LATEST_SECOND * size]
    hint = ""
    if likely and math.isfinite(number):
        moment = np.datetime64(int(number * _SECOND / TIME_UNITS[likely[0]]), "us")
        day = np.datetime_as_string(moment, unit="D")
        hint = (
            f" (in {likely[0]}s it is {day}: set `time_unit: {likely[0]}` at the top of the spec)"
        )
    rule = f"a time must be a timestamp, or count {unit}s since 1970{hint}"
    return location.error(at, rule, number)


def as_lists(
    values: pa.Array, location: SourceLocation, separator: str | None = None
) -> tuple[pa.Array, np.ndarray]:
    """Returns the flat values of lists, and the int64 length of each; a missing list is empty.

    Args:
        values: Arrow array of lists, or of text to be split when `separator` is given.
        location: `SourceLocation` of the values.
        separator: String or `None`. Separator of values in text; an empty value is missing.
            Defaults to `None`: text is an error.

    Raises:
        UserError: If the column does not contain lists.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_null(kind):
        return values.slice(0, 0), np.zeros(len(values), np.int64)
    if separator is not None and is_text(kind):
        values = split_texts(values, separator)
        kind = values.type
    if not is_list(kind):
        raise location.column_error("must hold a list in each row", kind)
    if pa.types.is_fixed_size_list(kind):
        lengths = np.full(len(values), kind.list_size, np.int64)
        if values.null_count:
            lengths[values.is_null().to_numpy(zero_copy_only=False)] = 0
        return values.flatten(), lengths
    lengths = pc.list_value_length(values)
    if lengths.null_count:
        lengths = lengths.fill_null(0)
    return values.flatten(), lengths.to_numpy(zero_copy_only=False).astype(np.int64)


def split_texts(values: pa.Array, separator: str) -> pa.Array:
    """Returns texts as lists of the texts between separators.

    An empty text is a missing list, and an empty part of a text is a missing value, in all formats.

    Example:

    >>> split_texts(pa.array(["a||b", ""]), "|").to_pylist()
    [['a', None, 'b'], None]
    """
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
    lists = pc.split_pattern(values, separator)
    parts = lists.values
    if not pc.any(pc.equal(parts, "")).as_py():
        return lists
    parts = pc.if_else(pc.equal(parts, ""), pa.scalar(None, parts.type), parts)
    kind = pa.LargeListArray if pa.types.is_large_list(lists.type) else pa.ListArray
    return kind.from_arrays(lists.offsets, parts, mask=pc.is_null(lists))


def pick_lists(
    values: pa.Array, lengths: np.ndarray, limit: int, newest: bool
) -> tuple[pa.Array, np.ndarray, np.ndarray | None]:
    """Truncates lists to `limit` values each.

    Args:
        values: Flat Arrow values.
        lengths: int64 array of list lengths.
        limit: Integer. Maximum number of values of a list.
        newest: Boolean. Whether to keep the last values rather than the first.

    Returns:
        Flat values, lengths, and the flat index of the values, or `None` if all are kept.
    """
    if not len(lengths) or lengths.max() <= limit:
        return values, lengths, None
    kept = np.minimum(lengths, limit)
    starts = starts_of(lengths)
    if newest:
        starts = starts + lengths - kept
    index = flat_index(starts, kept)
    return values.take(pa.array(index)), kept, index
