"""Rates: how often an item and a user get positive labels."""

from typing import Any

import numpy as np
from scipy.special import expit, logit

from lmn_tf.data.encoding.hashing import NO_GROUP, splitmix64
from lmn_tf.models.base.with_options import WithOptions
from lmn_tf.models.baselines.fit_term_weights import fit_term_weights
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID

_CHUNK = 4_096  # rows whose events are compared together
_HELD_OUT = 10  # without validation rows, one row in about so many is held out for the weights
_NOT_LOGITS = ("pairs", "events", "repeats", "rows of item", "rows of user", "new")


class Rates(WithOptions):
    """Shrunk rates of the item and of the user in a logistic regression, without a network.

    `logit = w_0 + w_1 item + w_2 user + w_3 recent`. A rate is `(positives + shrinkage * rate of
    all rows) / (rows + shrinkage)`, and a score the logit of a rate less that of all rows, so that
    items and users without training rows have 0. With `outcome`, `recent` is the rate of the newest
    events of the history. With `counts`, `log(1 + rows)` of the training rows of the item
    and of the user, and whether the item has none, are scores as well; with `history_counts`,
    `log(1 + events)` of the history, and `log(1 + repeats)` of those that are the candidate.

    Rates are counted in training rows. The weights `w` are fitted to validation rows, which
    networks use to stop; without validation rows, they are fitted to a tenth of the training rows,
    with rates from the others. Test labels are never used.

    It knows nothing of pairs of a user and an item. A network that is no better has learned nothing
    from histories.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        **options: Options.

    Complexity:
        `O(rows)` to fit, `O(1)` a row to score.

    Reference:
        Ferrari Dacrema et al. 2019, "Are we really making much progress? A worrying analysis of
        recent neural recommendation approaches"; the baselines that it asks for.

    Example:

    >>> model = Rates(spec, shrinkage=5.0)
    >>> model.columns.item.name
    'item_id'
    """

    Options = RatesOptions

    def __init__(self, spec: FeatureSpec, **options: Any) -> None:
        self.spec = spec
        self.options, _ = self.split_options(options)
        self.columns = Columns.of(spec, self.options)
        self.weights: dict[str, float] = {}

    def fit(
        self, train: Interactions, valid: Interactions | None = None, label: int = 0
    ) -> "Rates":
        """Fits scores to training rows, and their weights to validation rows.

        Args:
            train: `Interactions` of the training rows.
            valid: `Interactions` of the validation rows. Defaults to `None`: there are none.
            label: Integer. Index of the label. Defaults to `0`.

        Returns:
            The model itself.
        """
        train = train.weighted()
        if valid is not None and len(valid):
            self.fit_scores(train, label)
            self._weigh(valid, label)
            return self
        # Not at equal distances, which may be those of the negatives of a list of candidates.
        held_out = splitmix64(np.arange(len(train), dtype=np.uint64)) % np.uint64(_HELD_OUT) == 0
        hidden = train.take(np.flatnonzero(held_out))
        self.fit_scores(train.take(np.flatnonzero(~held_out)), label, hidden)
        self._weigh(hidden, label)
        self.fit_scores(train, label)
        return self

    def fit_scores(
        self, train: Interactions, label: int, hidden: Interactions | None = None
    ) -> None:
        """Fits what `scores` needs to training rows.

        Args:
            train: `Interactions` of the training rows.
            label: Integer. Index of the label.
            hidden: `Interactions` of rows for which the weights are fitted, so that scores must not
                know their labels, also where they are events in histories of training rows.
                Defaults to `None`: there are none.
        """
        labels, weights = train.labels[:, label].astype(np.float64), train.row_weights
        rate = np.average(labels, weights=weights) if len(train) else 0.5
        self.rate = float(np.clip(rate, 1e-6, 1 - 1e-6))
        size = self.spec.input_size(self.columns.item)
        self.item_offsets = self._offsets(train.items, labels, weights, size)
        self.user_keys = np.unique(train.users[train.users != NO_GROUP])
        users = self.user_rows(train.users)
        # The last row is that of users without training rows.
        self.user_offsets = self._offsets(users, labels, weights, len(self.user_keys) + 1)
        self.user_offsets[-1] = 0.0
        self.item_counts = np.log1p(np.bincount(train.items, weights, size))
        self.user_counts = np.log1p(np.bincount(users, weights, len(self.user_keys) + 1))
        self.user_counts[-1] = 0.0
        self.num_rates = len(np.unique(train.items)) + len(self.user_keys)

    def scores(self, rows: Interactions) -> dict[str, np.ndarray]:
        """Returns the scores of rows by name.

        Args:
            rows: `Interactions` of any rows.
        """
        users = self.user_rows(rows.users)
        scores = {"item": self.item_offsets[rows.items], "user": self.user_offsets[users]}
        if rows.event_outcomes is not None:
            scores["recent"] = self._recent(rows)
        if self.options.history_counts:
            scores["events"], scores["repeats"] = np.log1p(rows.lengths), np.log1p(_repeats(rows))
        if self.options.counts:
            scores["rows of item"] = self.item_counts[rows.items]
            scores["rows of user"] = self.user_counts[users]
            scores["new"] = (scores["rows of item"] == 0.0).astype(np.float64)
        return scores

    def logits(self, rows: Interactions) -> np.ndarray:
        """Returns the logit of each row.

        Args:
            rows: `Interactions` of any rows.
        """
        logits = np.full(len(rows), self.weights["bias"])
        for name, score in self.scores(rows).items():
            logits += self.weights[name] * score
        return logits

    @property
    def num_parameters(self) -> int:
        """Number of fitted numbers."""
        return self.num_rates + len(self.weights)

    @property
    def rate_shrinkage(self) -> float:
        """Number of average rows that are added to the counts of each rate."""
        return self.options.shrinkage

    def user_rows(self, users: np.ndarray) -> np.ndarray:
        """Returns the row of each user, and the number of users for those without training rows.

        Args:
            users: int64 array `(rows,)`, as of `Interactions`.
        """
        if not len(self.user_keys):
            return np.zeros(len(users), np.int64)
        rows = np.searchsorted(self.user_keys, users).clip(max=len(self.user_keys) - 1)
        return np.where(self.user_keys[rows] == users, rows, len(self.user_keys))

    def expected(self, items: np.ndarray, users: np.ndarray) -> np.ndarray:
        """Returns the probability of a positive label by the two rates.

        Args:
            items: int array `(pairs,)`. Ids of items.
            users: int array `(pairs,)`. Rows of users.
        """
        return expit(logit(self.rate) + self.item_offsets[items] + self.user_offsets[users])

    def _offsets(self, ids, labels, weights, size):
        """Returns the logit of the shrunk rate of each id, less that of all rows."""
        positives = np.bincount(ids, weights * labels, size)
        return self._offset(positives, np.bincount(ids, weights, size))

    def _offset(self, positives, counts):
        added = self.rate_shrinkage
        rates = (positives + added * self.rate) / (counts + added)
        return logit(np.clip(rates, 1e-9, 1 - 1e-9)) - logit(self.rate)

    def _recent(self, rows):
        stops = rows.starts + rows.lengths
        starts = stops - np.minimum(rows.lengths, self.options.recent)
        known = ~np.isnan(rows.event_outcomes)
        counts, positives = (
            np.concatenate([[0.0], np.cumsum(one, dtype=np.float64)])
            for one in (known, np.where(known, rows.event_outcomes, 0.0))
        )
        return self._offset(positives[stops] - positives[starts], counts[stops] - counts[starts])

    def _weigh(self, rows, label):
        """Fits the weights of the scores to rows that the scores have not seen."""
        rows = rows.weighted()
        names, columns = zip(*self.scores(rows).items(), strict=True)
        labels, row_weights = rows.labels[:, label], rows.row_weights
        if len(np.unique(labels)) < 2:  # nothing to fit: the scores are logits as they are
            weights, bias = [float(name not in _NOT_LOGITS) for name in names], logit(self.rate)
        else:
            found, bias = fit_term_weights(np.stack(columns, axis=1), labels, row_weights)
            weights = found.tolist()
        self.weights = {"bias": float(bias), **dict(zip(names, weights, strict=True))}


def _repeats(rows):
    """Returns how many events of each history are the row's candidate, `(rows,)`."""
    found = np.zeros(len(rows), np.int64)
    for start in range(0, len(rows), _CHUNK):
        part = rows.take(np.arange(start, min(start + _CHUNK, len(rows))))
        events, owners = part.row_events()
        items = part.event_items[events]
        same = (items == part.items[owners]) & (items >= FIRST_ID)
        found[start : start + _CHUNK] = np.bincount(owners[same], minlength=len(part))
    return found
