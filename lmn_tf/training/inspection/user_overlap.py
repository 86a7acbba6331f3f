"""Slots of memories that two users share."""

import numpy as np

from lmn_tf.specs.errors import UserError
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_inspection import counted
from lmn_tf.training.inspection.named_rows import item_feature
from lmn_tf.training.inspection.pair_weights import PairWeights

_MOST_OTHERS = 100  # users to compare with


def user_overlap(
    run: InspectedRun, users: tuple[str, str], top: int = 10, readers: int = 3
) -> dict[str, dict]:
    """Finds the slots of each memory that two users read.

    The weight of a slot for a user is its share of the user's reads in all of the user's rows. The
    overlap is the weighted Jaccard index, the sum of the smaller ones of both shares divided by the
    sum of the larger ones: 1 if both read the same slots in the same way, 0 if none is shared. It
    is compared with that of either user and up to 100 others.

    Args:
        run: `InspectedRun`.
        users: Pair of strings. Names of users in the data.
        top: Integer. Number of shared slots to report, those with the largest common share first.
            Defaults to `10`.
        readers: Integer. Number of items to report by which a user reads a slot. Defaults to `3`.

    Returns:
        Dictionary from the name of a memory to a dictionary of `rows` and `slots` (of each user),
        `shared_slots`, `jaccard`, `jaccard_of_others` (the median, or `None`), `others` (the number
        of pairs) and `top_slots`.

    Raises:
        UserError: If the names are equal or unknown.
    """
    if users[0] == users[1]:
        raise UserError(f"`--users` must name two users. Received: {users[0]} twice")
    user_of_row, count = _numbered(run.names, users)
    rows = np.bincount(user_of_row[user_of_row >= 0], minlength=count)
    item = item_feature(run.spec).name
    sums = [_UserSlots(readers_of, item) for readers_of in run.readers]
    kept, start = user_of_row[user_of_row >= 0], 0
    for features, reads in run.evaluator.reads(run.kept_rows(user_of_row >= 0)):
        for one, (slots, weights, counts) in zip(sums, reads, strict=True):
            number = one.add(features, *counted(slots, weights, counts), kept[start:])
        start += number
    return {
        name: {"rows": rows[:2].tolist(), **one.overlap(count, memory.num_keys, top, readers)}
        for name, one, memory in zip(run.memory_names, sums, run.evaluator.memories, strict=True)
    }


def weighted_jaccard(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> float:
    """Returns the sum of the smaller weights divided by that of the larger ones.

    Args:
        one: Pair of distinct ids and their weights.
        other: Pair of distinct ids and their weights.

    Example:

    >>> a, b = np.array([3, 5]), np.array([5, 9])
    >>> weighted_jaccard((a, np.array([0.5, 0.5])), (b, np.array([0.25, 0.75])))
    0.14285714285714285
    """
    _, of_one, of_other = np.intersect1d(one[0], other[0], True, return_indices=True)
    smaller = np.minimum(one[1][of_one], other[1][of_other]).sum()
    larger = one[1].sum() + other[1].sum() - smaller
    return float(smaller / larger) if larger else 0.0


def _numbered(names, users):
    """Numbers the users of rows: the two first, then others, -1 for the rest; and their count."""
    of_two = [names.of_user(user, "--users") for user in users]
    others = [name for name in dict.fromkeys(names.users) if name not in (*users, None)]
    step = max(len(others) // _MOST_OTHERS, 1)
    others = others[::step][:_MOST_OTHERS]
    numbers = {name: number for number, name in enumerate(others, 2)}
    user_of_row = np.array([numbers.get(name, -1) for name in names.users])
    for number, rows in enumerate(of_two):
        user_of_row[rows] = number
    return user_of_row, 2 + len(others)


class _UserSlots:
    """Sums of the read weights of a memory by user and slot, and by item for the first two."""

    def __init__(self, readers, item):
        self._readers, self._item = readers, item
        self._slots = PairWeights()  # by user
        self._items = PairWeights(), PairWeights()  # by slot

    def add(self, features, slots, weights, user_of_row):
        """Adds the reads of a batch, and returns its number of rows."""
        queries = self._readers.queries(features, len(slots))
        known = queries.rows >= 0
        slots, weights = slots[known], weights[known]
        users = user_of_row[queries.rows[known]]
        query = np.repeat(np.arange(len(slots)), slots[0].size if len(slots) else 0)
        slots, weights = slots.reshape(-1), weights.reshape(-1)
        self._slots.add(users[query], slots, weights)
        if self._item in queries.ids:
            items = queries.ids[self._item][known]
            for user, pairs in enumerate(self._items):
                mine = users[query] == user
                pairs.add(slots[mine], items[query[mine]], weights[mine])
        return self._readers.count_rows(features)

    def overlap(self, count, num_keys, top, readers):
        sums = [self._slots.of(user) for user in range(count)]
        one, other, *others = (_shares(*of_user) for of_user in sums)
        with_others = [weighted_jaccard(user, them) for user in (one, other) for them in others]
        shared, of_one, of_other = np.intersect1d(one[0], other[0], True, return_indices=True)
        shares = np.stack([one[1][of_one], other[1][of_other]], axis=-1)
        order = np.argsort(-shares.min(axis=-1), kind="stable")[:top]
        items = [pairs.top(readers) for pairs in self._items]
        totals = [dict(zip(*of_user, strict=True)) for of_user in sums[:2]]
        return {
            "slots": [len(one[0]), len(other[0])],
            "shared_slots": len(shared),
            "jaccard": weighted_jaccard(one, other),
            "jaccard_of_others": float(np.median(with_others)) if with_others else None,
            "others": len(with_others),
            "top_slots": [
                {
                    "slot": int(shared[place]),
                    "row": int(shared[place]) // num_keys,
                    "column": int(shared[place]) % num_keys,
                    "shares": shares[place].tolist(),
                    "items": [
                        self._named(of_user.get(int(shared[place]), ()), total[shared[place]])
                        for of_user, total in zip(items, totals, strict=True)
                    ],
                }
                for place in order
            ],
        }

    def _named(self, items, total):
        name = self._readers.names[self._item] if items else None
        return [{"value": name(id_), "share": float(weight / total)} for id_, weight in items]


def _shares(slots, weights):
    read = weights > 0
    return slots[read], weights[read] / max(weights.sum(), 1e-300)
