"""Support of the pairs of a history's items and the candidate in training data."""

import numpy as np
from scipy import sparse

from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.lookup import FIRST_ID

_CHUNK = 512  # candidates whose counts are computed together


class PairSupport:
    """Counts how often the items of a row's history occur with its candidate in training data.

    The training history of a user is the set of the items of all histories that training rows read,
    and of the candidates of positive training rows (of the first label). The support of two items
    is the number of users whose training history has both. That of a row is the sum over the
    distinct items of its history, without the candidate itself. Only training data count, without
    rows of weight 0.

    Args:
        train: `Interactions` of the training rows.

    Complexity:
        The sum of the squared sizes of training histories to count, `O(users * items of a user)`
        memory; the pairs of 512 candidates are in memory at a time.
    """

    def __init__(self, train: Interactions) -> None:
        train = train.weighted()
        events, owners = train.events_read()
        positive = np.flatnonzero(train.labels[:, 0] > 0)
        users = np.concatenate([owners, train.users[positive]])
        items = np.concatenate([train.event_items[events], train.items[positive]])
        known = (users != NO_GROUP) & (items >= FIRST_ID)
        keys, users = np.unique(users[known], return_inverse=True)
        items = items[known]
        self._size = int(items.max(initial=FIRST_ID)) + 1
        shape = len(keys), self._size
        ones = np.ones(len(items), np.int32)
        self._of_users = sparse.csr_array((ones, (users, items)), shape=shape)
        self._of_users.sum_duplicates()
        self._of_users.data[:] = 1
        self._of_items = self._of_users.tocsc()

    def of_rows(
        self, candidates: np.ndarray, lengths: np.ndarray, events: np.ndarray
    ) -> np.ndarray:
        """Returns the support of each row.

        Args:
            candidates: Integer array `(rows,)`. Ids of the candidates.
            lengths: Integer array `(rows,)`. Number of events of each row's history.
            events: Integer array `(lengths.sum(),)`. Ids of the items of the events, row after row.

        Returns:
            int64 array `(rows,)`.
        """
        support = np.zeros(len(candidates), np.int64)
        rows, items = self._distinct(candidates, lengths, events)
        order = np.argsort(candidates[rows], kind="stable")
        rows, items = rows[order], items[order]
        columns, starts = np.unique(candidates[rows], return_index=True)
        bounds = np.append(starts[::_CHUNK], len(rows))
        for chunk, (start, stop) in enumerate(zip(bounds, bounds[1:], strict=False)):
            part = columns[chunk * _CHUNK : (chunk + 1) * _CHUNK]
            counts = sparse.csr_array(self._of_items[:, part].T @ self._of_users)
            places = np.searchsorted(part, candidates[rows[start:stop]])
            np.add.at(support, rows[start:stop], _at(counts, places, items[start:stop]))
        return support

    def _distinct(self, candidates, lengths, events):
        """Returns row and item of the pairs that may have occurred, each once."""
        rows = np.repeat(np.arange(len(candidates)), lengths)
        own = candidates[rows]
        known = (events >= FIRST_ID) & (events < self._size) & (events != own)
        known &= (own >= FIRST_ID) & (own < self._size)
        pairs = np.unique(rows[known] * self._size + events[known])
        return np.divmod(pairs, self._size)


def _at(counts, rows, columns) -> np.ndarray:
    """Returns the values of a sparse array at some places."""
    counts.sort_indices()
    width = counts.shape[1]
    keys = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr)) * width + counts.indices
    wanted = rows * width + columns
    if not len(keys):
        return np.zeros(len(wanted), np.int64)
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, counts.data[places], 0)
