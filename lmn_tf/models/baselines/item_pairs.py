"""Base of rows with a score of the pairs of an event and the candidate."""

import abc

import numpy as np
from scipy import sparse

from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.baselines.rates import Rates
from lmn_tf.models.options import ItemPairsOptions
from lmn_tf.specs.lookup import FIRST_ID

_CHUNK = 4_096  # rows that are scored together


class ItemPairs(Rates, abc.ABC):
    """Base of rows that add a score of the pairs of an event and the candidate to the rates.

    `logit = w_0 + w_1 item + w_2 user + w_3 recent + w_4 pairs` with
    `pairs = sum_j r_j similarity(j, candidate)` over the items `j` of the user's training rows and
    of the row's history, each once (as in training, or with its mean residual) and without the
    candidate itself. With `outcome`, the residual `r_j` is what the rates do not expect: the
    outcome of an event, or the label of a training row, less the sigmoid of the item's and the
    user's logit; events whose outcome is unknown are left out. Without it, `r_j = 1` for each event
    and each positive training row. Similarities are fitted to the matrix of the same residuals of
    users and items, from training rows and their histories.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        **options: Options of the subclass.
    """

    Options = ItemPairsOptions

    @property
    def rate_shrinkage(self) -> float:
        return self.options.rate_shrinkage

    @abc.abstractmethod
    def fit_similarities(self, residuals: sparse.csr_array) -> int:
        """Fits the similarities of items.

        Args:
            residuals: Sparse array `(users, columns)`; a pair that occurred is stored, even if it
                is zero.

        Returns:
            Number of fitted numbers.
        """

    @abc.abstractmethod
    def pair_scores(self, profiles: sparse.csr_array, candidates: np.ndarray) -> np.ndarray:
        """Returns `sum_j r_j similarity(j, candidate)` of each row.

        Args:
            profiles: Sparse array `(rows, columns)` of the residuals `r_j`.
            candidates: int64 array `(rows,)`. Column of each candidate.
        """

    def fit_scores(
        self, train: Interactions, label: int, hidden: Interactions | None = None
    ) -> None:
        super().fit_scores(train, label, hidden)
        users, items, residuals = self._known_pairs(train, label)
        if hidden is not None:
            unknown = self._keys(self.user_rows(hidden.users), hidden.items)
            kept = ~np.isin(self._keys(users, items), unknown)
            users, items, residuals = users[kept], items[kept], residuals[kept]
        counts = np.bincount(items, minlength=len(self.item_offsets))
        # Most frequent first, equal ones by id, so that the columns are the same on any machine.
        kept = np.argsort(-counts, kind="stable")[: self.options.max_items]
        kept = np.sort(kept[counts[kept] > 0])
        self.column_of = np.full(len(counts), -1)
        self.column_of[kept] = np.arange(len(kept))
        shape = len(self.user_keys) + 1, len(kept)
        self.residuals = _mean_of_pairs(users, self.column_of[items], residuals, shape)
        pairs = self.residuals.tocoo()
        self._known_keys = pairs.row.astype(np.int64) * shape[1] + pairs.col  # sorted
        self.num_similarities = self.fit_similarities(self.residuals) if len(kept) > 1 else 0

    def scores(self, rows: Interactions) -> dict[str, np.ndarray]:
        pairs = np.zeros(len(rows))
        if self.num_similarities:
            for start in range(0, len(rows), _CHUNK):
                part = np.arange(start, min(start + _CHUNK, len(rows)))
                pairs[part] = self._pairs(rows.take(part))
        return {**super().scores(rows), "pairs": pairs}

    @property
    def num_parameters(self) -> int:
        return super().num_parameters + self.num_similarities

    def _known_pairs(self, train, label):
        """Returns user row, item and residual of training rows and of the events they read."""
        outcomes, labels = train.event_outcomes, train.labels[:, label]
        events, owners = train.events_read()
        # Without outcomes, events are positive, and so are the rows beside them.
        rows = np.flatnonzero(labels > 0) if outcomes is None else np.arange(len(train))
        users = self.user_rows(np.concatenate([train.users[rows], owners]))
        items = np.concatenate([train.items[rows], train.event_items[events]])
        known = (users < len(self.user_keys)) & (items >= FIRST_ID)
        if outcomes is None:
            return users[known], items[known], np.ones(np.count_nonzero(known))
        results = np.concatenate([labels[rows], outcomes[events]])
        known &= ~np.isnan(results)
        users, items = users[known], items[known]
        return users, items, results[known] - self.expected(items, users)

    def _keys(self, users, items):
        return users * len(self.item_offsets) + items

    def _pairs(self, rows):
        """Returns the pair scores of some rows."""
        users, candidates = self.user_rows(rows.users), self.column_of[rows.items]
        profiles = self.residuals[users] + self._new_events(rows, users)
        owners = np.repeat(np.arange(len(rows)), np.diff(profiles.indptr))
        profiles.data[profiles.indices == candidates[owners]] = 0.0
        scores = self.pair_scores(profiles, np.maximum(candidates, 0))
        return np.where(candidates < 0, 0.0, scores)

    def _new_events(self, rows, users):
        """Returns the residuals of items in histories that are not known from training."""
        events, owners = rows.row_events()
        items = rows.event_items[events]
        columns = np.where(items < FIRST_ID, -1, self.column_of[items])
        new = (columns >= 0) & ~self._is_known(users[owners], columns)
        if rows.event_outcomes is not None:
            new &= ~np.isnan(rows.event_outcomes[events])
        owners, items, columns = owners[new], items[new], columns[new]
        residuals = np.ones(len(items))
        if rows.event_outcomes is not None:
            residuals = rows.event_outcomes[events[new]] - self.expected(items, users[owners])
        return _mean_of_pairs(owners, columns, residuals, (len(rows), self.residuals.shape[1]))

    def _is_known(self, users, columns):
        """Returns whether each pair of a user and a column is one of the training pairs."""
        keys = users * self.residuals.shape[1] + columns
        places = np.searchsorted(self._known_keys, keys).clip(max=len(self._known_keys) - 1)
        return self._known_keys[places] == keys


def _mean_of_pairs(rows, columns, values, shape):
    """Returns a sparse array of the mean value of each pair; columns of -1 are left out."""
    kept = columns >= 0
    keys = rows[kept].astype(np.int64) * shape[1] + columns[kept]
    keys, which = np.unique(keys, return_inverse=True)
    means = np.bincount(which, values[kept], len(keys)) / np.bincount(which, minlength=len(keys))
    rows, columns = np.divmod(keys, max(shape[1], 1))
    starts = np.searchsorted(rows, np.arange(shape[0] + 1))
    return sparse.csr_array((means, columns, starts), shape)
