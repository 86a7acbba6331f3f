"""A click log with known causes, sampled user by user with NumPy."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from lmn_tf.specs.errors import UserError

CAUSES = ("taste", "quality", "co_occurrence", "pairs")

_FACTORS = 4  # width of the hidden taste vectors
_START = 1_700_000_000  # second of the earliest possible event
_PAST = 30 * 86_400  # seconds before the first row, with past events only
_SPAN = 30 * 86_400  # seconds of the rows
_CELLS = 4_000_000  # history cells drawn at a time, which limits memory for any number of rows


@dataclasses.dataclass(frozen=True)
class SyntheticMarket:
    """A market whose clicks have known causes.

    Users view items in sequence; each view after the first few is a row, and the earlier views are
    its history. The click is drawn from `sigmoid(logit)` with

    `logit = bias + taste * T + quality * Q + co_occurrence * C + pairs * P`

    - `T`: user factors times item factors; users of one group and items of one category are
      similar. Mean 0, variance about 1.
    - `Q`: quality of the candidate. Mean 0, variance about 1.
    - `C`: 1 if the partner item of the candidate is in the history, otherwise 0.
    - `P`: the sum, over the newest `pair_events` items of the history, of a random value for each
      (user group, item), divided by `sqrt(pair_events)`. It cannot be predicted from the item or
      the user alone, only from a memory of both together.

    Models see the group as the user feature `segment`. These causes are our choice, not from a
    paper.

    Args:
        users: Integer. Number of users. Defaults to `2000`.
        items: Integer. Number of items. Defaults to `500`.
        rows: Integer. Number of rows over all splits. Defaults to `60000`.
        history_length: Integer. Length of the longest history; the newest views are kept. Defaults
            to `20`.
        groups: Integer. Number of user groups. Defaults to `10`.
        categories: Integer. Number of item categories. Defaults to `20`.
        seed: Integer. Markets with the same seed and arguments are equal. Defaults to `1`.
        taste: Float. Strength of `T`. Defaults to `0.5`.
        quality: Float. Strength of `Q`. Defaults to `0.5`.
        co_occurrence: Float. Strength of `C`. Defaults to `1.0`.
        pairs: Float. Strength of `P`. Defaults to `1.5`.
        pair_events: Integer or `None`. Number of newest items in `P`; `None` for the whole
            history. Defaults to `None`.
        follow: Float. Share of views of the partner of a recent item. Defaults to `0.2`.
        bias: Float. Logit without any cause. Defaults to `-0.5`.

    Example:

    >>> market = SyntheticMarket(users=50, items=30, rows=200)
    >>> sum(len(chunk["click"]) for chunk in market.chunks())
    200
    """

    blind_to: ClassVar[dict[str, tuple[str, ...]]] = {cause: (cause,) for cause in CAUSES}

    users: int = 2000
    items: int = 500
    rows: int = 60_000
    history_length: int = 20
    groups: int = 10
    categories: int = 20
    seed: int = 1
    taste: float = 0.5
    quality: float = 0.5
    co_occurrence: float = 1.0
    pairs: float = 1.5
    pair_events: int | None = None
    follow: float = 0.2
    bias: float = -0.5

    def __post_init__(self) -> None:
        for name in ("users", "items", "rows", "history_length", "groups", "categories"):
            check_count(name, getattr(self, name))
        if self.pair_events is not None:
            check_count("pair_events", self.pair_events)
        check_seed(self.seed)
        for name in (*CAUSES, "follow", "bias"):
            check_number(name, getattr(self, name))
        if not 0 <= self.follow <= 1:
            raise UserError(f"`follow` must be between 0 and 1. Received: follow={self.follow!r}")
        if self.categories > self.items:
            raise UserError(
                "`categories` must be at most `items`. Received: "
                f"categories={self.categories}, items={self.items}"
            )

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Draws the market in chunks of users.

        Yields:
            Dictionary of arrays for consecutive users. Per event, sorted by user and time:
            `event_user`, `event_item`, `event_time`. Per row, sorted by user and time: `user`,
            `segment`, `item`, `time`, `click`, `logit`, one array for each cause (times its
            strength), `event` (position of the row in the events of this chunk) and `count`
            (number of the user's events before the row).
        """
        truth = _Truth(self)
        events_per_user = self.rows // self.users + self.history_length + 1
        step = max(1, _CELLS // (events_per_user * self.history_length))
        for number, start in enumerate(range(0, self.users, step)):
            rng = np.random.default_rng([self.seed, 1, number])
            yield self._chunk(truth, rng, start, min(start + step, self.users))

    def _chunk(
        self, truth: "_Truth", rng: np.random.Generator, start: int, end: int
    ) -> dict[str, np.ndarray]:
        number = end - start
        total = self.rows * end // self.users - self.rows * start // self.users
        activity = rng.gamma(2.0, size=number)
        row_counts = rng.multinomial(total, activity / activity.sum())
        past_counts = rng.integers(0, self.history_length + 1, size=number)
        group = rng.integers(0, self.groups, size=number)
        factors = truth.user_factors(group, rng)

        counts = row_counts + past_counts
        first = np.cumsum(counts) - counts  # position of the first event of each user
        owner = np.repeat(np.arange(number), counts)
        rank = np.arange(len(owner)) - first[owner]  # number of the user's events before it
        is_row = rank >= past_counts[owner]
        time = row_times(rng, owner, rank, is_row)
        item = self._views(truth, rng, group[owner], rank)

        event = np.flatnonzero(is_row)
        user, candidate = owner[event], item[event]
        causes = {
            "taste": self.taste * truth.match(factors[user], candidate),
            "quality": self.quality * truth.item_quality[candidate],
            "co_occurrence": self.co_occurrence
            * self._partner_seen(truth.partner[candidate], item, event, rank[event]),
            "pairs": self.pairs * self._pair_sum(truth, group[owner], item, event, rank[event]),
        }
        logit = self.bias + sum(causes.values())
        click = rng.random(len(event)) < sigmoid(logit)
        return {
            "event_user": owner + start,
            "event_item": item,
            "event_time": time,
            "user": user + start,
            "segment": group[user],
            "item": candidate,
            "time": time[event],
            "click": click.astype(np.int8),
            "logit": logit,
            **causes,
            "event": event,
            "count": rank[event],
        }

    def _views(self, truth: "_Truth", rng, group: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """Viewed items: by the taste of the group, and partners of recent items."""
        draw = rng.random(len(group))
        category = np.empty(len(group), dtype=np.int64)
        for value in range(self.groups):  # one sorted search per group
            member = group == value
            category[member] = np.searchsorted(truth.category_cdf[value], draw[member])
        # Category c has the items c, c + categories, ..., in the order of popularity.
        size = (self.items - category + self.categories - 1) // self.categories
        rank_in_category = (size * rng.random(len(group)) ** 1.5).astype(np.int64)
        item = rank_in_category * self.categories + category
        lag = rng.integers(1, min(5, self.history_length) + 1, size=len(group))
        follows = (rng.random(len(group)) < self.follow) & (lag <= rank)
        position = np.flatnonzero(follows)
        followed = item.copy()
        followed[position] = truth.follower[item[position - lag[position]]]
        return followed

    def _partner_seen(self, partner, item, event, count) -> np.ndarray:
        """1.0 if the partner item of a row is in its history, otherwise 0.0."""
        row, position = history_positions(event, count, self.history_length)
        hits = row[item[position] == partner[row]]
        return (np.bincount(hits, minlength=len(event)) > 0).astype(np.float64)

    def _pair_sum(self, truth: "_Truth", group, item, event, count) -> np.ndarray:
        """Scaled sum of the values of pairs over the newest items of a history."""
        newest = self.pair_events or self.history_length
        total = np.concatenate([[0.0], np.cumsum(truth.pair_table[group, item], dtype=np.float64)])
        read = np.minimum(count, min(newest, self.history_length))
        return (total[event] - total[event - read]) / np.sqrt(newest)


class _Truth:
    """Hidden tables of a market, whose size depends on groups and items, not on rows."""

    def __init__(self, market: SyntheticMarket):
        rng = np.random.default_rng([market.seed, 0])
        items, categories, groups = market.items, market.categories, market.groups
        self.group_factors = rng.normal(size=(groups, _FACTORS))
        category_factors = rng.normal(size=(categories, _FACTORS))
        category = np.arange(items) % categories
        item_noise = rng.normal(size=(items, _FACTORS))
        self.item_factors = (category_factors[category] + item_noise) / np.sqrt(2)
        self.item_quality = rng.normal(size=items)
        self.pair_table = rng.normal(size=(groups, items)).astype(np.float32)
        # A single cycle through all items: every item has a partner other than itself.
        cycle = rng.permutation(items)
        self.partner = np.empty(items, dtype=np.int64)
        self.partner[cycle] = np.roll(cycle, 1)
        self.follower = np.empty(items, dtype=np.int64)
        self.follower[self.partner] = np.arange(items)
        likes = np.exp(self.group_factors @ category_factors.T / 2)
        self.category_cdf = np.cumsum(likes, axis=1) / likes.sum(axis=1, keepdims=True)
        self.category_cdf[:, -1] = 1.0  # rounding must not result in a draw without a category

    def user_factors(self, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.normal(size=(len(group), _FACTORS))
        return (self.group_factors[group] + noise) / np.sqrt(2)

    def match(self, factors: np.ndarray, item: np.ndarray) -> np.ndarray:
        return np.einsum("nf,nf->n", factors, self.item_factors[item]) / np.sqrt(_FACTORS)


def history_positions(
    event: np.ndarray, count: np.ndarray, history_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the events in the history of each row, oldest first.

    Args:
        event: Integer array of shape `(rows,)`. Position of each row among the events.
        count: Integer array of shape `(rows,)`. Number of events of the same user before it.
        history_length: Integer. Maximum number of events, the newest.

    Returns:
        Two integer arrays of equal length: the row, and the position of one of its events.

    Example:

    >>> history_positions(np.array([2, 3]), np.array([2, 3]), 2)
    (array([0, 0, 1, 1]), array([0, 1, 1, 2]))
    """
    length = np.minimum(count, history_length)
    row = np.repeat(np.arange(len(event)), length)
    within = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    return row, (event - length)[row] + within


def row_times(
    rng: np.random.Generator, owner: np.ndarray, rank: np.ndarray, is_row: np.ndarray
) -> np.ndarray:
    """Seconds, strictly increasing for each user, with past events before the period of rows."""
    time = _START + np.where(
        is_row,
        _PAST + rng.integers(0, _SPAN, size=len(owner)),
        rng.integers(0, _PAST, size=len(owner)),
    )
    time = time[np.lexsort((time, owner))]
    # Of two events of a user in the same second, the later one is moved, by a running maximum of
    # `time - rank`; the offset separates users.
    offset = owner * (4 * (_PAST + _SPAN) + _START)
    return np.maximum.accumulate(time - rank + offset) - offset + rank


def split_of(time: np.ndarray) -> np.ndarray:
    """Split of each row by its time: 0 train (first 80 %), 1 valid (10 %), 2 test (last 10 %).

    Example:

    >>> split_of(np.array([1_700_000_000, 1_705_000_000]))
    array([0, 2])
    """
    return np.searchsorted(seconds_at(np.array([0.8, 0.9])), time, side="right")


def seconds_at(share: np.ndarray) -> np.ndarray:
    """Second of each share of the period of rows.

    Example:

    >>> seconds_at(np.array([0.0, 1.0])).astype("datetime64[s]").astype("datetime64[h]")
    array(['2023-12-14T22', '2024-01-13T22'], dtype='datetime64[h]')
    """
    return _START + _PAST + share * _SPAN


def sigmoid(logit: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    return 0.5 * (1.0 + np.tanh(0.5 * logit))


def check_count(name: str, value: object) -> None:
    """Raises `UserError` unless `value` is an integer above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_number(name: str, value: object) -> None:
    """Raises `UserError` unless `value` is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UserError(f"`{name}` must be a number. Received: {name}={value!r}")


def check_seed(value: object) -> None:
    """Raises `UserError` unless `value` can seed a market."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"`seed` must be an integer, 0 or more. Received: seed={value!r}")
