"""A click log whose clicks depend on pairs of items of a history, sampled with NumPy."""

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from lmn_tf.data.synthetic_market import check_count, check_number, check_seed, row_times, sigmoid
from lmn_tf.specs.errors import UserError

_CELLS = 4_000_000  # history cells drawn at a time, which limits memory for any number of rows


@dataclasses.dataclass(frozen=True)
class CooccurrenceMarket:
    """A market whose clicks depend on whether both items of a pair are in the history.

    Every group of items has one candidate and `pairs` pairs of a first and a second item. A history
    contains one first item and `seconds` different second items of each group, in random order.
    With probability 1/2, the second item of the same pair is among them. The click is drawn from
    `sigmoid(logit)` with

    `logit = co_occurrence * C`

    where `C` is 1 if both items of a pair of the candidate's group are in the history, otherwise
    -1. The probability of a click is 1/2 given the candidate, any single item, the first item, or
    all second items without the first. It does not depend on the groups of other candidates either.
    The causes are our choice, not from a paper.

    The number of an item modulo `groups` is its group, which models see as its category. Each row
    belongs to another user.

    Args:
        rows: Integer. Number of rows over all splits. Defaults to `60000`.
        groups: Integer. Number of candidates. Defaults to `4`.
        pairs: Integer. Number of pairs of items of each group. Defaults to `16`.
        seconds: Integer below `pairs`. Number of second items of each group in a history. Defaults
            to `8`.
        seed: Integer. Markets with the same seed and arguments are equal. Defaults to `1`.
        co_occurrence: Float. Strength of `C`. Defaults to `3.0`.

    Raises:
        UserError: If an argument is out of range.

    Example:

    >>> market = CooccurrenceMarket(rows=200)
    >>> market.history_length
    36
    >>> sum(len(chunk["click"]) for chunk in market.chunks())
    200
    """

    blind_to: ClassVar[dict[str, tuple[str, ...]]] = {"co_occurrence": ("co_occurrence",)}

    rows: int = 60_000
    groups: int = 4
    pairs: int = 16
    seconds: int = 8
    seed: int = 1
    co_occurrence: float = 3.0

    def __post_init__(self) -> None:
        for name in ("rows", "groups", "pairs", "seconds"):
            check_count(name, getattr(self, name))
        check_seed(self.seed)
        check_number("co_occurrence", self.co_occurrence)
        if self.seconds >= self.pairs:
            raise UserError(
                "`seconds` must be below `pairs`. Received: "
                f"seconds={self.seconds}, pairs={self.pairs}"
            )

    @property
    def items(self) -> int:
        """Number of items: pairs and candidates of all groups."""
        return self.groups * (2 * self.pairs + 1)

    @property
    def categories(self) -> int:
        """Number of item categories, which are the groups."""
        return self.groups

    @property
    def history_length(self) -> int:
        """Length of every history."""
        return self.groups * (1 + self.seconds)

    def chunks(self) -> Iterator[dict[str, np.ndarray]]:
        """Draws the market in chunks of rows.

        Yields:
            Dictionary of arrays as in `SyntheticMarket.chunks`; the only cause is `co_occurrence`.
        """
        step = max(1, _CELLS // self.history_length)
        for number, start in enumerate(range(0, self.rows, step)):
            rng = np.random.default_rng([self.seed, 1, number])
            yield self._chunk(rng, start, min(start + step, self.rows))

    def _chunk(self, rng: np.random.Generator, start: int, end: int) -> dict[str, np.ndarray]:
        number, length = end - start, self.history_length
        history, together = self._histories(rng, number)
        group = rng.integers(0, self.groups, size=number)
        candidate = 2 * self.pairs * self.groups + group
        cause = self.co_occurrence * np.where(together[np.arange(number), group], 1.0, -1.0)
        owner = np.repeat(np.arange(number), length + 1)
        rank = np.tile(np.arange(length + 1), number)
        time = row_times(rng, owner, rank, rank == length)
        event = np.arange(length, len(owner), length + 1)
        return {
            "event_user": owner + start,
            "event_item": np.concatenate([history, candidate[:, None]], axis=1).reshape(-1),
            "event_time": time,
            "user": np.arange(start, end),
            "segment": np.zeros(number, dtype=np.int64),
            "item": candidate,
            "time": time[event],
            "click": (rng.random(number) < sigmoid(cause)).astype(np.int8),
            "logit": cause,
            "co_occurrence": cause,
            "event": event,
            "count": np.full(number, length),
        }

    def _histories(self, rng, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Items `(number, history_length)`, and whether the pair of each group is complete."""
        shape = number, self.groups
        first = rng.integers(0, self.pairs, size=shape)
        together = rng.random(shape) < 0.5
        # A random order of the pairs of the group; that of the first item is first or last.
        keys = rng.random((*shape, self.pairs))
        key_of_partner = np.where(together, -1.0, 2.0)
        np.put_along_axis(keys, first[..., None], key_of_partner[..., None], axis=-1)
        second = np.argsort(keys, axis=-1)[..., : self.seconds] + self.pairs
        positions = np.concatenate([first[..., None], second], axis=-1)
        items = positions * self.groups + np.arange(self.groups)[:, None]
        return rng.permuted(items.reshape(number, -1), axis=1), together
