"""Rows of one user and many candidates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.serving.request_rows import as_table
from lmn_tf.specs.errors import UserError, nearest
from lmn_tf.specs.feature_spec import FeatureSpec


def candidate_tables(
    user: Any, candidates: Any, spec: FeatureSpec, histories: bool = True
) -> tuple[pa.Table, pa.Table]:
    """Joins the columns of one user to those of candidates, but for the histories.

    Args:
        user: Dictionary of a row: the user's columns, those of the histories, the request time,
            and all that the candidates have in common.
        candidates: A list of dicts, a dict of columns or a `pyarrow.Table` with the other columns.
        spec: `FeatureSpec`.
        histories: Boolean. Whether sequences are read. Defaults to `True`.

    Returns:
        Pair of the table of the rows, without the columns that only histories are read from, and
        the table of one row with all columns of the user.

    Raises:
        UserError: When a column is missing, given on both sides or on the wrong one, or its values
            do not fit together.
    """
    _check_user(user)
    columns = spec.columns(labels=False, histories=histories)
    given = dict.fromkeys(_names(candidates))
    _check_sides(user, given, spec, columns)
    ids = spec.id_columns()
    own = tuple(name for name in columns if name in given)
    found = as_table(candidates, own, ids, "candidates")
    one = _row_of(user, columns, ids)
    first = pa.array(np.zeros(found.num_rows, np.int64))
    rows = {
        name: one.column(name).take(first) if name in user else found.column(name)
        for name in spec.columns(labels=False, histories=False)
    }
    return pa.table(rows), one


def user_table(user: Any, spec: FeatureSpec) -> pa.Table:
    """Returns the table of one row with the columns of one user.

    Args:
        user: As of `candidate_tables`.
        spec: `FeatureSpec`.

    Raises:
        UserError: When a column is missing, or its values do not fit together.
    """
    _check_user(user)
    columns, of_user = spec.columns(labels=False), _columns_of_user(spec)
    for name in columns:
        if name in of_user and name not in user:
            raise _missing(name, "user", user, columns)
    return _row_of(user, columns, spec.id_columns())


def _check_user(user):
    if not isinstance(user, Mapping):
        raise UserError(f"`user` must be a dict of columns. Received: {type(user).__name__}")


def _row_of(user, columns, ids):
    own = tuple(name for name in columns if name in user)
    if not own:  # without columns, nothing else tells that there is one row
        return pa.table({"": [None]}).select([])
    return as_table({name: [user[name]] for name in own}, own, ids, "user")


def _missing(name, side, given, columns):
    near = nearest(name, [other for other in given if other not in columns])
    near = "" if near is None else f" Did you mean `{near}`?"
    return UserError(f"`{side}` must have the column `{name}`.{near}")


def _names(candidates):
    if isinstance(candidates, list):
        return (name for row in candidates if isinstance(row, Mapping) for name in row)
    if isinstance(candidates, pa.Table):
        return candidates.column_names
    return candidates if hasattr(candidates, "items") else ()  # data frames have them, too


def _check_sides(user, given, spec, columns):
    """Raises where a column is on no side, on both or on the wrong one."""
    of_user = _columns_of_user(spec)
    of_item = [feature for feature in spec.features if feature.role == "item"]
    of_item = {name for item in of_item for name in (item.data_column, item.weights)}
    for name in columns:
        if name in user and name in given:
            raise UserError(
                f"column `{name}` must be given in `user` or in `candidates`. Received: both"
            )
        if name in given and name in of_user:
            raise UserError(
                f"column `{name}` must be given in `user`: all candidates share it. "
                "Received: it in `candidates`"
            )
        if name not in user and name not in given:
            side = "candidates" if name in of_item - of_user else "user"
            raise _missing(name, side, (*user, *given), columns)
    if not any(name in given for name in columns):
        raise UserError(
            "`candidates` must have a column that the model reads. "
            f"Received: all {len(columns)} in `user`"
        )


def _columns_of_user(spec):
    """The columns that rows must have in common to share histories."""
    names = {spec.request_time, *spec.history_columns()}
    for feature in spec.features:
        if feature.role == "user":
            names |= {feature.data_column, feature.weights}
    return names
