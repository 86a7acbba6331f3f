"""Arrow columns as plain values: numbers, times and lists, with their checks."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.place import Place
from lmn_tf.data.ragged import flat_index, starts_of

MISSING_TIME = np.iinfo(np.int64).min
_SECOND = 1_000_000  # times are microseconds
_LATEST = 9_000_000_000_000  # seconds that still fit in int64 microseconds


def is_list(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is a list of any sort."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(fits(kind) for fits in kinds)


def is_text(kind: pa.DataType) -> bool:
    """Returns whether an Arrow type is text of any sort."""
    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def one_chunk(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Returns a column as one array; without a copy where it is one already."""
    if isinstance(column, pa.Array):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    joined = column.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.chunk(0) if joined.num_chunks else pa.array([], joined.type)
    return joined


def as_numbers(values: pa.Array, place: Place) -> np.ndarray:
    """Returns float64 numbers, NaN where missing; the array may be read-only.

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
            raise place.error(at, "the value must be a number", values[at].as_py()) from None
    elif is_list(kind):
        raise place.column_error("must hold one number, not lists", kind)
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise place.column_error("must hold numbers", kind)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64(), safe=False)
    if values.null_count:
        values = values.fill_null(np.nan)
    return values.to_numpy(zero_copy_only=False)


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


def as_times(values: pa.Array, place: Place) -> np.ndarray:
    """Returns int64 microseconds; integers and floats count seconds. Missing: `MISSING_TIME`.

    Raises:
        UserError: A value is not a time, or too large to count seconds.
    """
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        values = values.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False)
        values = values.cast(pa.int64())
        return values.fill_null(MISSING_TIME).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(kind):
        values = values.cast(pa.int64())
        missing = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        seconds = (values.fill_null(0) if values.null_count else values).to_numpy()
        small = seconds
    else:
        small = as_numbers(values, place)
        missing = np.isnan(small)
        small = np.where(missing, 0.0, small)
    if len(small) and (small.min() < -_LATEST or small.max() > _LATEST):
        at = int(np.argmax(np.abs(small) > _LATEST))
        raise place.error(at, "a time must be in seconds or a timestamp", small[at].item())
    if small.dtype == np.int64:
        times = small * _SECOND
    else:
        times = np.rint(small * _SECOND).astype(np.int64)
    return times if missing is None else np.where(missing, MISSING_TIME, times)


def as_lists(
    values: pa.Array, place: Place, separator: str | None = None
) -> tuple[pa.Array, np.ndarray]:
    """Returns the flat values of lists, and the int64 length of each; a missing list is empty.

    Args:
        values: Arrow array of lists, or of text to be split when `separator` is given.
        place: Where they come from.
        separator: String or `None`. What parts the values of text; nothing between two of them is
            a missing value. Defaults to `None`: text is refused.

    Raises:
        UserError: The column does not hold lists.
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
        raise place.column_error("must hold a list in each row", kind)
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

    An empty text is a missing list, and an empty part of a text a missing value: so says every
    format.

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
    """Returns flat values and lengths with at most `limit` values of each list, and their index.

    Args:
        values: Flat Arrow values.
        lengths: int64 array of list lengths.
        limit: Integer. How many values are kept.
        newest: Boolean. Whether the last ones are kept, or the first ones.

    Returns:
        Values, lengths, and the flat index of the kept values or `None` where all are kept.
    """
    if not len(lengths) or lengths.max() <= limit:
        return values, lengths, None
    kept = np.minimum(lengths, limit)
    starts = starts_of(lengths)
    if newest:
        starts = starts + lengths - kept
    index = flat_index(starts, kept)
    return values.take(pa.array(index)), kept, index
