"""Rows of a window that stay together."""

import dataclasses

import numpy as np

from lmn_tf.data.encoding.ragged import flat_index


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """Groups of rows, each of one user.

    Args:
        rows: int64 array `(rows,)`. Rows of the first group, then of the second, and so on.
        starts: int64 array `(groups,)`. Position in `rows` of the first row of each group.

    Example:

    >>> users, moments = np.array([4, 2, 4, 4, 2]), np.array([0, 0, 7, 5, 0])
    >>> groups = RowGroups.of_users(users, moments, most=2)
    >>> groups.rows.tolist(), groups.starts.tolist()
    ([0, 3, 2, 1, 4], [0, 2, 3])
    >>> groups.in_order(np.array([2, 0, 1])).tolist()
    [1, 4, 0, 3, 2]
    """

    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def of_users(cls, users: np.ndarray, moments: np.ndarray, most: int) -> "RowGroups":
        """Gathers the rows of each user, in the order of time, in groups of at most `most`.

        Users come in the order in which they appear.

        Args:
            users: int64 array `(rows,)`. Equal numbers for rows of one user.
            moments: int64 array `(rows,)`. Rows of a user are sorted by it; equal ones stay in
                order.
            most: Integer.
        """
        _, first, user = np.unique(users, return_index=True, return_inverse=True)
        rows = np.lexsort((moments, first[user]))
        users = users[rows]
        position = np.arange(len(rows))
        is_first = np.concatenate([[True], users[1:] != users[:-1]])
        in_run = position - np.maximum.accumulate(np.where(is_first, position, 0))
        return cls(rows, np.flatnonzero(in_run % most == 0))

    def __len__(self) -> int:
        return len(self.starts)

    def in_order(self, groups: np.ndarray) -> np.ndarray:
        """Returns the rows of some groups, group after group.

        Args:
            groups: int64 array. Numbers of groups.
        """
        sizes = np.diff(self.starts, append=len(self.rows))
        return self.rows[flat_index(self.starts[groups], sizes[groups])]
