"""Users and items of rows of data files, by the names that they have in the files."""

import os
from collections.abc import Sequence

import numpy as np

from lmn_tf.data.encoding.arrow_values import one_chunk
from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.models.terms.columns import candidate_feature
from lmn_tf.specs.columns import Feature
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec

_MOST_LISTED = 12  # items of a user in a message


def user_column(spec: FeatureSpec) -> str:
    """Returns the data column that names the user of a row.

    It is that of the first history by reference, otherwise `group`, otherwise that of the first
    categorical feature of role user.

    Args:
        spec: `FeatureSpec`.

    Raises:
        UserError: If there is none.
    """
    for sequence in spec.sequences:
        if sequence.events is not None:
            return sequence.events.user
    if spec.group is not None:
        return spec.group
    users = (one for one in spec.features_of("user") if one.kind == "categorical")
    return _found(spec, next(users, None), "user").data_column


def item_feature(spec: FeatureSpec) -> Feature:
    """Returns the feature that names the item of a row.

    It is the `candidate_feature`, from which the terms of the logits and the tables of the
    baselines are counted too.

    Args:
        spec: `FeatureSpec`.

    Raises:
        UserError: If there is none.
    """
    return _found(spec, candidate_feature(spec), "item")


def _found(spec, feature, role):
    if feature is None:
        raise UserError(
            f"the feature spec must have a categorical feature of role {role} for what names "
            f"{role}s. Received: {spec.name}, without one"
        )
    return feature


class NamedRows:
    """The users and the items of the first rows of data files.

    Args:
        spec: `FeatureSpec`, which determines how files are read.
        files: Glob, path, or list of them.
        limit: Integer. Number of rows.

    Attributes:
        users: Array of strings of shape `(rows,)`.
        items: Array of strings of shape `(rows,)`.

    Raises:
        UserError: If a file has no column of users or items, or the spec names none.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        limit: int,
    ) -> None:
        names = [user_column(spec), item_feature(spec).data_column]
        parts = {name: [np.array([], object)] for name in names}
        count = 0
        for unit in open_spec_files(spec, files, names):
            first_row = unit.first_row
            for table in unit.tables(list(parts), stop=limit - count):
                for name, found in parts.items():
                    location = SourceLocation.of_rows(unit.path, name, first_row)
                    texts = as_texts(as_keys(one_chunk(table[name]), location))
                    found.append(np.array(texts.to_pylist(), object))
                first_row += table.num_rows
                count += table.num_rows
            if count == limit:
                break
        self.users, self.items = (np.concatenate(parts[name]) for name in names)
        is_cut = count == limit
        self._place = f"the first {count:,} rows of the data" if is_cut else "the data"
        self._hint = " --rows reads more of them." if is_cut else ""

    def of_user(self, name: str, option: str = "--user") -> np.ndarray:
        """Returns which rows are of a user.

        Args:
            name: String.
            option: String. What named the user, for the message. Defaults to `"--user"`.

        Returns:
            Boolean array of shape `(rows,)`.

        Raises:
            UserError: If no row is of this user, with the most similar name.
        """
        return self._found(self.users, "a user", name, option)

    def of_pair(self, user: str, item: str) -> np.ndarray:
        """Returns the rows of a user and an item, the last of which may be the newest.

        Args:
            user: String.
            item: String.

        Returns:
            Integer array of shape `(found,)`, ascending.

        Raises:
            UserError: If there is none, with the most similar name or the items of the user.
        """
        of_user = self.of_user(user)
        of_item = self._found(self.items, "an item", item, "--item")
        rows = np.flatnonzero(of_user & of_item)
        if not len(rows):
            others = [name for name in dict.fromkeys(self.items[of_user]) if name is not None]
            listed = ", ".join(f"`{name}`" for name in others[:_MOST_LISTED])
            more = ", ..." if len(others) > _MOST_LISTED else ""
            raise UserError(
                f"`--item` must be the item of a row of the user `{user}`. Received: {item}. "
                f"In {self._place} this user has {listed}{more}."
            )
        return rows

    def _found(self, names, kind, name, option):
        rows = names == name
        if not rows.any():
            known = [other for other in dict.fromkeys(names) if other is not None]
            raise UserError(
                f"`{option}` must name {kind} of {self._place}. Received: {name}."
                f"{did_you_mean(name, known)}{self._hint}"
            )
        return rows
