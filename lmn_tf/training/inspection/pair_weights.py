"""Sums of weights by pairs of a row and an id."""

import numpy as np

_IDS = 2**32  # ids are below it


class PairWeights:
    """Sums of weights by pairs of a row and an id, added batch by batch.

    Example:

    >>> pairs = PairWeights()
    >>> pairs.add(np.array([0, 0, 0]), np.array([7, 9, 7]), np.array([1.0, 1.5, 1.0]))
    >>> pairs.top(1)
    {0: [(7, 2.0)]}
    """

    def __init__(self) -> None:
        self._keys = np.zeros(0, np.int64)
        self._weights = np.zeros(0)

    def add(self, rows: np.ndarray, ids: np.ndarray, weights: np.ndarray) -> None:
        """Adds weights; those of negative ids are left out.

        Args:
            rows: Integer array of shape `(n,)`.
            ids: Integer array of shape `(n,)`.
            weights: Float array of shape `(n,)`.
        """
        known = ids >= 0
        keys = rows[known].astype(np.int64) * _IDS + ids[known]
        keys, weights = _merged(keys, weights[known])
        self._keys, self._weights = _merged(
            np.concatenate([self._keys, keys]), np.concatenate([self._weights, weights])
        )

    def all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the rows, the ids and the weights of all pairs, ascending by row and id."""
        return self._keys // _IDS, self._keys % _IDS, self._weights

    def of(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the ids of a row, ascending, and their weights.

        Args:
            row: Integer.
        """
        start, stop = np.searchsorted(self._keys, [row * _IDS, (row + 1) * _IDS])
        return self._keys[start:stop] - row * _IDS, self._weights[start:stop]

    def top(self, count: int) -> dict[int, list[tuple[int, float]]]:
        """Returns for each row its ids of the most weight.

        Args:
            count: Integer. Number of ids of a row.

        Returns:
            Dictionary from row to a list of `(id, weight)`, the largest weight first, equal ones by
            their id.
        """
        rows, ids, _ = self.all()
        order = np.lexsort((ids, -self._weights, rows))
        rows, ids, weights = rows[order], ids[order], self._weights[order]
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        rank = np.arange(len(rows)) - np.repeat(starts, np.diff(starts, append=len(rows)))
        top = {}
        for index in np.flatnonzero(rank < count):
            top.setdefault(int(rows[index]), []).append((int(ids[index]), float(weights[index])))
        return top


def _merged(keys, weights):
    keys, which = np.unique(keys, return_inverse=True)
    return keys, np.bincount(which.reshape(-1), weights, len(keys))
