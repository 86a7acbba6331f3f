"""Ids of requests, given as Python values, as Arrow arrays."""

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.place import Place
from lmn_tf.specs.errors import UserError

_UNFIT = (pa.ArrowException, TypeError, ValueError, OverflowError)


def id_array(values, file: str, column: str) -> pa.Array:
    """Returns ids, or lists of ids, as an Arrow array, in one type where one holds all of them.

    Otherwise (integers past int64, integers beside text) each becomes its text, as `as_keys` says.

    Args:
        values: Sequence of ids, lists of ids to any depth, and `None`.
        file: What to call the source in messages.
        column: Name of the column.

    Raises:
        UserError: A value has no text of its own.

    Example:

    >>> id_array([7, "007", 2**64, None], "rows", "user").to_pylist()
    ['7', '007', '18446744073709551616', None]
    """
    try:
        return pa.array(values)
    except _UNFIT:
        pass  # no type of Arrow holds them all
    places = (Place(file, column, lambda _, row=row: row) for row in range(1, len(values) + 1))
    texts = [_text(value, place) for value, place in zip(values, places, strict=True)]
    try:
        return pa.array(texts)
    except _UNFIT as error:
        raise UserError(
            f"column `{column}` must hold ids, or lists of ids. Received: {error}", file=file
        ) from error


def _text(value, place):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [_text(one, place) for one in value]
    try:
        single = pa.array([value])
    except _UNFIT:
        raise place.error(0, "an id must be an integer or text", value) from None
    return as_texts(as_keys(single, place)).to_pylist()[0]
