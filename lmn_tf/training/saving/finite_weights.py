"""Checks for weights that are NaN or infinite."""

from collections.abc import Mapping

import numpy as np

from lmn_tf.distribute.tables.rows import row_pieces
from lmn_tf.specs.errors import UserError


def check_finite(variables: Mapping[str, object], source: str) -> None:
    """Raises a `UserError` if a variable holds a number that is NaN or infinite.

    Args:
        variables: Variables or arrays by name; large ones are read in chunks.
        source: String. Owner of the variables, as the subject of the message.

    Raises:
        UserError: If there is such a number; names the variable.

    Example:

    >>> check_finite({"kernel": np.ones(3), "count": np.arange(3)}, "The model")
    """
    for name, variable in variables.items():
        for rows in row_pieces(variable):
            check_rows(rows, name, source)


def check_rows(rows: np.ndarray, name: str, source: str) -> None:
    """Raises a `UserError` if an array holds a number that is NaN or infinite.

    Args:
        rows: NumPy array of any type.
        name: String. Name of the variable.
        source: String. Owner of the variable, as the subject of the message.

    Raises:
        UserError: If there is such a number.

    Example:

    >>> check_rows(np.ones(3), "kernel", "The model")
    """
    # "V" is bfloat16, for which NumPy has no type.
    if rows.dtype.kind not in "fV" or np.isfinite(rows).all():
        return
    bad_values = rows[~np.isfinite(rows)] if rows.shape else rows.reshape(1)
    raise UserError(
        f"{source} must hold finite numbers only: training has diverged. "
        f"Received: {bad_values[0]} in `{name}`"
    )
