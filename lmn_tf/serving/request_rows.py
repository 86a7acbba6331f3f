"""Rows of a request as an Arrow table of the columns that a model reads."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.errors import UserError, nearest, short

_UNFIT = (pa.ArrowException, TypeError, ValueError, AttributeError, OverflowError)
_NOT_ONE_TYPE = (pa.ArrowException, TypeError, ValueError, OverflowError)


def id_array(values: Sequence[Any], file: str, column: str) -> pa.Array:
    """Returns ids, or lists of ids, as an Arrow array, in one type where one holds all of them.

    Otherwise (integers past int64, integers beside text) each becomes its text, as `as_keys` says.

    Args:
        values: Sequence of ids, lists of ids to any depth, and `None`.
        file: What to call the source in messages.
        column: Name of the column.

    Raises:
        UserError: A value has no text of its own, or lists are nested too deeply.

    Example:

    >>> id_array([7, "007", 2**64, None], "rows", "user").to_pylist()
    ['7', '007', '18446744073709551616', None]
    """
    try:
        return pa.array(values)
    except _NOT_ONE_TYPE:
        pass  # no type of Arrow holds them all
    locations = (
        SourceLocation(file, column, lambda _, row=row: row) for row in range(1, len(values) + 1)
    )
    rule = f"column `{column}` must hold ids, or lists of ids. Received: "
    try:
        texts = [_text(value, location) for value, location in zip(values, locations, strict=True)]
    except RecursionError:
        raise UserError(f"{rule}lists that are nested too deeply", file=file) from None
    try:
        return pa.array(texts)
    except _NOT_ONE_TYPE as error:
        raise UserError(f"{rule}{error}", file=file) from error


def _text(value, location):
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value.item()
    if isinstance(value, list | tuple | np.ndarray):
        return [_text(item, location) for item in value]
    try:
        single = pa.array([value])
    except _NOT_ONE_TYPE:
        raise location.error(0, "an id must be an integer or text", value) from None
    return as_texts(as_keys(single, location)).to_pylist()[0]


def as_table(
    rows: Any, columns: tuple[str, ...], ids: Collection[str], argument: str = "rows"
) -> pa.Table:
    """Converts rows in any of the forms that `Scorer.score` accepts to a table.

    Columns that are not read are dropped without a check.

    Args:
        rows: A list of dicts, a dict of columns or a `pyarrow.Table`. Each dict must have every
            column; None stands for a missing value. No rows at all need no columns.
        columns: Tuple of strings. The columns to take.
        ids: Set of strings. Those of them that hold ids.
        argument: String. What messages call the rows. Defaults to `"rows"`.

    Returns:
        `pyarrow.Table` with `columns`, in that order.

    Raises:
        UserError: When `rows` is none of these, a row or the whole lacks a column or has it
            twice, or the values of a column do not fit together.

    Example:

    >>> as_table([{"a": 1, "note": "x"}, {"a": None, "note": 2}], ("a",), set()).to_pydict()
    {'a': [1, None]}
    """
    if isinstance(rows, list):
        _check_rows(rows, columns, argument)
        rows = {name: [row[name] for row in rows] for name in columns}
    if hasattr(rows, "items"):  # Data frames have them, too.
        _check_names(list(rows), columns, argument)
        taken = {name: _column(name, rows[name], ids, argument) for name in columns}
        return _joined(taken, argument)
    if not isinstance(rows, pa.Table):
        raise _no_table(rows, argument)
    _check_names(rows.column_names, columns, argument)
    return rows.select(columns)


def _check_rows(rows, columns, argument):
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise _no_table(rows, argument, f": row {number} is {short(row)}")
        for name in columns:
            if name not in row:
                near = _near(name, row, columns)
                raise UserError(
                    f"`{argument}` must have the column `{name}` in each row, None where there is "
                    f"no value. Received: row {number} without it.{near}"
                )


def _check_names(names, columns, argument):
    for name in columns:
        count = names.count(name)
        if not count:
            near = _near(name, names, columns)
            raise UserError(f"`{argument}` must have the column `{name}`.{near}")
        if count > 1:
            raise UserError(
                f"`{argument}` must have the column `{name}` once. "
                f"Received: {count} columns of that name"
            )


def _near(name, given, columns):
    near = nearest(name, [other for other in given if other not in columns])
    return "" if near is None else f" Did you mean `{near}`?"


def _column(name, values, ids, argument):
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
        raise UserError(
            f"column `{name}` of `{argument}` must be a list. Received: {short(values)}"
        )
    if name in ids:
        return id_array(values, argument, name)
    try:
        return pa.array(values)
    except _UNFIT as error:
        raise UserError(
            f"column `{name}` must hold values of one type. Received: {error}", file=argument
        ) from error


def _joined(columns, argument):
    lengths = {name: len(values) for name, values in columns.items()}
    shortest, longest = min(lengths, key=lengths.get), max(lengths, key=lengths.get)
    if lengths[shortest] != lengths[longest]:
        raise UserError(
            f"`{argument}` must have columns of one length. Received: {lengths[longest]} values in "
            f"`{longest}`, {lengths[shortest]} in `{shortest}`"
        )
    return pa.table(columns)


def _no_table(rows, argument, details=""):
    forms = ["a list of dicts", "a dict of columns", "a pyarrow.Table"]
    forms += ["the glob of data files"] if argument == "rows" else []
    return UserError(
        f"`{argument}` must be {', '.join(forms[:-1])} or {forms[-1]}. "
        f"Received: {type(rows).__name__}{details}"
    )
