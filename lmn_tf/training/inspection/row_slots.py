"""Slots that one row reads, and its score without them."""

import collections
import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import get_rows, set_rows
from lmn_tf.training.evaluation.memory_reads import recorded_reads
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_inspection import counted
from lmn_tf.training.inspection.named_rows import item_feature


def row_slots(
    run: InspectedRun, user: str, item: str, top: int = 10, readers: int = 3
) -> dict[str, object]:
    """Finds the slots that the row of a user and an item reads, and what its score owes to them.

    If the data have several such rows, it is the last one. The score without a slot is that of
    another forward pass, in which the value of the slot is 0. With several labels, scores are those
    of the first one.

    Args:
        run: `InspectedRun`.
        user: String. Name of a user in the data.
        item: String. Name of an item in the data.
        top: Integer. Number of slots to report, those with the largest read weight first. Defaults
            to `10`.
        readers: Integer. Number of items to report by which the row reads a slot. Defaults to `3`.

    Returns:
        Dictionary of `rows` (the number of such rows), `label`, `logit`, `probability`, and
        `memories`: from the name of a memory to a dictionary of `reads` (queries times heads times
        `top_k`), `slots` (the number of distinct ones), `without` (`logit` and `probability`
        without all of them) and `top_slots`, each with its `share` of the read weight, `items` and
        `without`.

    Raises:
        UserError: If a name is unknown, or the user has no row with the item.
    """
    rows, features = last_row(run, user, item)
    model, memories = run.evaluator.model, run.evaluator.memories
    with recorded_reads(memories) as reads:
        logits = model(features, training=False)
    found = {}
    for name, memory, (slots, weights, counts), of_memory in zip(
        run.memory_names, memories, reads, run.readers, strict=True
    ):
        slots, weights = counted(slots, weights, counts)
        items = of_memory.item_names(features, len(slots), item_feature(run.spec).name)
        sums = _RowSums(slots, weights, items)
        without = functools.partial(score_without, model, features, memory.memory_values)
        found[name] = {
            "reads": slots.size,
            "slots": len(sums.slots),
            "without": without(sums.slots),
            "top_slots": [
                {
                    "slot": slot,
                    "row": slot // memory.num_keys,
                    "column": slot % memory.num_keys,
                    "share": share,
                    "items": sums.items(slot, readers),
                    "without": without([slot]),
                }
                for slot, share in sums.top(top)
            ],
        }
    label = run.spec.labels[0].name
    return {"rows": rows, "label": label, **score(logits), "memories": found}


def last_row(run: InspectedRun, user: str, item: str) -> tuple[int, dict[str, tf.Tensor]]:
    """Returns the last row of a user and an item.

    Args:
        run: `InspectedRun`.
        user: String. Name of a user in the data.
        item: String. Name of an item in the data.

    Returns:
        Pair of the number of such rows, and the features of the last one as a batch.

    Raises:
        UserError: If a name is unknown, or the user has no row with the item.
    """
    rows = run.names.of_pair(user, item)
    keep = np.zeros(len(run.names.users), bool)
    keep[rows[-1]] = True
    [features] = run.kept_rows(keep).take(1)
    return len(rows), features


def logits_without(
    model: keras.Model,
    features: Mapping[str, tf.Tensor],
    table: object,
    slots: Sequence[int],
) -> tf.Tensor:
    """Returns the logits of a forward pass in which the values of some slots are 0.

    Args:
        model: `keras.Model` from features to logits.
        features: Dictionary of a batch.
        table: Values of a memory: a variable, or a table that is split over devices.
        slots: The slots.

    Returns:
        Float tensor of shape `(batch, labels)`.
    """
    with zeroed_rows(table, slots):
        return model(features, training=False)


@contextlib.contextmanager
def zeroed_rows(table: object, rows: Sequence[int]) -> Iterator[None]:
    """Sets rows of a table to 0 within the block; afterwards, they have their values again.

    Args:
        table: Variable of shape `(rows, dim)`, or a table that is split over devices.
        rows: Distinct integers.
    """
    kept = [(row, get_rows(table, row, row + 1)) for row in map(int, rows)]
    try:
        for row, values in kept:
            set_rows(table, row, np.zeros_like(values))
        yield
    finally:
        for row, values in kept:
            set_rows(table, row, values)


class _RowSums:
    """Sums of the read weights of a row by slot, and by item."""

    def __init__(self, slots, weights, items):
        self._weights = collections.Counter()
        self._items = collections.defaultdict(collections.Counter)
        for query, head, rank in np.argwhere(weights > 0):
            slot, weight = int(slots[query, head, rank]), float(weights[query, head, rank])
            self._weights[slot] += weight
            if items[query] is not None:
                self._items[slot][items[query]] += weight
        self.slots = list(self._weights)

    def top(self, count):
        """Returns the slots of the most weight, each with its share."""
        total = self._weights.total()
        return [(slot, weight / total) for slot, weight in self._weights.most_common(count)]

    def items(self, slot, count):
        """Returns the items of the most weight, each with its share of the slot's."""
        return [
            {"value": name, "share": weight / self._weights[slot]}
            for name, weight in self._items[slot].most_common(count)
        ]


def score_without(
    model: keras.Model,
    features: Mapping[str, tf.Tensor],
    table: object,
    slots: Sequence[int],
) -> dict[str, float]:
    """Returns the `score` of `logits_without`, with the same arguments."""
    return score(logits_without(model, features, table, slots))


def score(logits: tf.Tensor) -> dict[str, float]:
    """Returns the logit of the first label of the first row, and its probability.

    Args:
        logits: Float tensor of shape `(batch, labels)`.

    Example:

    >>> score(tf.constant([[0.0, 1.0]]))
    {'logit': 0.0, 'probability': 0.5}
    """
    logit = float(np.asarray(logits, np.float64)[0, 0])
    return {"logit": logit, "probability": float(1 / (1 + np.exp(-logit)))}
