"""A click log whose clicks depend on pairs of a past item and the candidate, drawn with NumPy."""

import dataclasses
import functools
import statistics
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from lmn_tf.data.encoding.hashing import splitmix64
from lmn_tf.data.synthetic_market import (
    check_count,
    check_number,
    check_seed,
    row_times,
    seconds_at,
    sigmoid,
)
from lmn_tf.specs.errors import UserError

_CELLS = 200_000  # events drawn at a time, which limits memory for any number of rows
_LEVELS = 4096  # different values of a pair


@dataclasses.dataclass(frozen=True)
class ItemPairsMarket:
    """A market whose clicks depend on pairs of a past item, its outcome, and the candidate.

    Every view of an item is a row, and all earlier views of the user are its history. The click is
    drawn from `sigmoid(logit)` with

    `logit = bias + quality * Q + habit * H + taste * T + pairs * P`

    - `Q`: quality of the candidate. Mean 0, variance 1.
    - `H`: readiness of the user to click. Mean 0, variance 1.
    - `T`: factors of the user times those of the candidate. Mean 0, variance about 1. The factors
      of a user turn slowly along the history.
    - `P`: the sum, over the newest `history_length` views, of a random value for each (viewed item,
      clicked or not, candidate), divided by `sqrt(history_length)`. The values are hashes of the
      ids and the seed, so that no table of pairs is stored, less the mean of each candidate over
      the views of all items, which would be another quality. Mean 0, variance about 1.

    Items are viewed by popularity alone, which is `1 / rank^popularity`: few pairs occur often, and
    most of them rarely. The number of an item is its rank. The values have no structure, so models
    cannot predict them from other pairs. A wide enough model without a memory can learn those of
    the most popular items, which most histories have. These causes are our choice, not from a
    paper.

    Args:
        users: Integer. Number of users. Defaults to `1000`.
        items: Integer. Number of items. Defaults to `500`.
        rows: Integer. Number of rows over all splits. Defaults to `100000`.
        history_length: Integer. Number of newest views in `P`, and length of the longest inline
            history. Defaults to `50`.
        seed: Integer. Markets with the same seed and arguments are equal. Defaults to `1`.
        popularity: Float, 0 or more. Exponent of the popularity of items. Defaults to `0.7`.
        cold: Float, at least 0 and below 1. Share of the items that are first viewed at some time
            within the log. Defaults to `0.2`.
        factors: Integer. Width of the tastes. Defaults to `4`.
        drift: Float. Angle by which a user's factors turn over 100 views. Defaults to `0.5`.
        bias: Float. Logit without any cause. Defaults to `0.0`.
        quality: Float. Strength of `Q`. Defaults to `0.5`.
        habit: Float. Strength of `H`. Defaults to `0.5`.
        taste: Float. Strength of `T`. Defaults to `1.0`.
        pairs: Float. Strength of `P`, its standard deviation. Defaults to `1.2`.

    Raises:
        UserError: If an argument is out of range.

    Example:

    >>> market = ItemPairsMarket(users=20, items=30, rows=200)
    >>> sum(len(chunk["click"]) for chunk in market.chunks())
    200
    """

    blind_to: ClassVar[dict[str, tuple[str, ...]]] = {
        "pairs": ("pairs",),
        "taste_and_pairs": ("taste", "pairs"),
    }
    categories: ClassVar[int] = 1

    users: int = 1000
    items: int = 500
    rows: int = 100_000
    history_length: int = 50
    seed: int = 1
    popularity: float = 0.7
    cold: float = 0.2
    factors: int = 4
    drift: float = 0.5
    bias: float = 0.0
    quality: float = 0.5
    habit: float = 0.5
    taste: float = 1.0
    pairs: float = 1.2

    def __post_init__(self) -> None:
        for name in ("users", "items", "rows", "history_length", "factors"):
            check_count(name, getattr(self, name))
        check_seed(self.seed)
        for name in ("popularity", "cold", "drift", "bias", "quality", "habit", "taste", "pairs"):
            check_number(name, getattr(self, name))
        if self.popularity < 0:
            raise UserError(
                f"`popularity` must be 0 or more. Received: popularity={self.popularity!r}"
            )
        if not 0 <= self.cold < 1:
            raise UserError(f"`cold` must be at least 0 and below 1. Received: cold={self.cold!r}")

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Draws the market in chunks of users.

        Yields:
            Dictionary of arrays as in `SyntheticMarket.chunks`. The causes are `quality`, `habit`,
            `taste` and `pairs`; `event_liked` tells whether each event was clicked.
        """
        truth = _Truth(self)
        step = max(1, _CELLS * self.users // max(self.users, self.rows))
        for number, start in enumerate(range(0, self.users, step)):
            rng = np.random.default_rng([self.seed, 1, number])
            yield self._chunk(truth, rng, start, min(start + step, self.users))

    def _chunk(
        self, truth: "_Truth", rng: np.random.Generator, start: int, end: int
    ) -> dict[str, np.ndarray]:
        number = end - start
        total = self.rows * end // self.users - self.rows * start // self.users
        activity = rng.gamma(2.0, size=number)
        counts = rng.multinomial(total, activity / activity.sum())
        habit = rng.normal(size=number)
        factors = rng.normal(size=(2, number, self.factors))

        first = np.cumsum(counts) - counts  # position of the first event of each user
        owner = np.repeat(np.arange(number), counts)
        rank = np.arange(total) - first[owner]  # number of the user's events before it
        time = row_times(rng, owner, rank, np.ones(total, dtype=bool))
        item = truth.viewed(rng, time)
        causes = {
            "quality": self.quality * truth.quality[item],
            "habit": self.habit * habit[owner],
            "taste": self.taste * truth.match(factors, owner, rank, item),
        }
        others = self.bias + sum(causes.values())
        causes["pairs"], liked = self._outcomes(truth, first, counts, item, others, rng)
        return {
            "event_user": owner + start,
            "event_item": item,
            "event_liked": liked,
            "event_time": time,
            "user": owner + start,
            "segment": np.zeros(total, dtype=np.int64),
            "item": item,
            "time": time,
            "click": liked,
            "logit": others + causes["pairs"],
            **causes,
            "event": np.arange(total),
            "count": rank,
        }

    def _outcomes(
        self, truth: "_Truth", first, counts, item, others, rng
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pair effects and clicks of all events: those of all users at once, one by one in time."""
        chance = rng.random(len(item))
        pairs = np.zeros(len(item))
        liked = np.zeros(len(item), dtype=np.int8)
        order = np.argsort(-counts, kind="stable")  # users that have an event left come first
        active = np.searchsorted(-counts[order], -np.arange(counts.max()))
        rated = np.zeros((len(counts), len(active)), dtype=np.int64)  # (users, events)
        for place, users in enumerate(active):
            event = first[order[:users]] + place
            newest = rated[:users, max(0, place - self.history_length) : place]
            values = truth.pair_values(newest, item[event][:, None])
            pairs[event] = self.pairs / np.sqrt(self.history_length) * values.sum(axis=1)
            liked[event] = chance[event] < sigmoid(others[event] + pairs[event])
            rated[:users, place] = 2 * item[event] + liked[event]
        return pairs, liked


class _Truth:
    """Hidden tables of a market, whose size depends on items, not on pairs or rows."""

    def __init__(self, market: ItemPairsMarket):
        rng = np.random.default_rng([market.seed, 0])
        self.market = market
        self.quality = rng.normal(size=market.items)
        self.item_factors = rng.normal(size=(market.items, market.factors))
        likely = np.arange(1, market.items + 1, dtype=np.float64) ** -market.popularity
        self._cdf = np.cumsum(likely) / likely.sum()
        self._cdf[-1] = 1.0  # rounding must not result in a draw without an item
        self.arrival = np.zeros(market.items, dtype=np.int64)
        cold = rng.permutation(market.items)[: int(market.cold * market.items)]
        self.arrival[cold] = seconds_at(rng.random(len(cold)))
        self._offset = splitmix64(np.array([market.seed], dtype=np.uint64))
        self._mean = np.zeros(market.items, dtype=np.float32)
        self._mean = self._means(likely / likely.sum())

    def _means(self, share: np.ndarray) -> np.ndarray:
        """Mean of the values of each candidate, by the share of views of each past item."""
        items = self.market.items
        rated = np.arange(2 * items)[:, None]
        step = max(1, _CELLS // items)
        candidates = (np.arange(at, min(at + step, items)) for at in range(0, items, step))
        views = np.repeat(share / 2, 2)
        return np.concatenate([views @ self.pair_values(rated, one) for one in candidates])

    def viewed(self, rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
        """Items drawn by popularity among those that have arrived."""
        item = np.searchsorted(self._cdf, rng.random(len(time)), side="right")
        late = np.flatnonzero(self.arrival[item] > time)
        while len(late):
            item[late] = np.searchsorted(self._cdf, rng.random(len(late)), side="right")
            late = late[self.arrival[item[late]] > time[late]]
        return item

    def match(self, factors, owner, rank, item) -> np.ndarray:
        """Product of the factors of users, turned by the number of events before, and items."""
        angle = self.market.drift / 100 * rank
        item_factors = self.item_factors[item]
        begin, turned = (np.einsum("nf,nf->n", one[owner], item_factors) for one in factors)
        product = np.cos(angle) * begin + np.sin(angle) * turned
        return product / np.sqrt(self.market.factors)

    def pair_values(self, rated: np.ndarray, candidate: np.ndarray) -> np.ndarray:
        """Values of pairs, with `rated` twice the number of an item, plus 1 if it was clicked."""
        pair = (rated * self.market.items + candidate).view(np.uint64)
        level = (splitmix64(pair + self._offset) >> 52).view(np.int64)
        return _normal_levels()[level] - self._mean[candidate]


@functools.cache
def _normal_levels() -> np.ndarray:
    """Quantiles of the normal distribution in equal steps of probability, with variance 1."""
    normal = statistics.NormalDist()
    levels = np.array([normal.inv_cdf((level + 0.5) / _LEVELS) for level in range(_LEVELS)])
    return (levels / levels.std()).astype(np.float32)
