"""Inspection of a model's memories: usage and readers of each slot."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import row_lengths
from lmn_tf.metrics.memory_usage import usage_statistics
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.memory_reads import memory_names
from lmn_tf.training.inspection.dead_regions import dead_regions
from lmn_tf.training.inspection.pair_weights import PairWeights
from lmn_tf.training.inspection.readers import Readers


@dataclasses.dataclass
class MemoryInspection:
    """Usage of one memory by some rows of data.

    Args:
        name: String. Name of the memory.
        num_keys: Integer. Number of keys on each axis.
        open_keys: Integer. Number of keys on each axis that can be read.
        reads: Array with the total read weight of each slot.
        value_norms: Array with the length of each slot's value.
        queries: Integer. Number of queries.
        slots: List of dictionaries, one for each of the most read slots.
    """

    name: str
    num_keys: int
    open_keys: int
    reads: np.ndarray
    value_norms: np.ndarray
    queries: int = 0
    slots: list = dataclasses.field(default_factory=list)

    def most_read(self, count: int) -> list[int]:
        """Returns the most read slots, in order; none that was not read.

        Args:
            count: Integer.
        """
        ranked = np.argsort(-self.reads, kind="stable")[:count]
        return [int(slot) for slot in ranked if self.reads[slot] > 0]

    def figures(self) -> dict:
        """Returns the figures of the memory as plain values."""
        statistics = usage_statistics(self.reads)
        open_slots = self.open_keys**2
        return {
            "memory_size": len(self.reads),
            "num_keys": self.num_keys,
            "queries": self.queries,
            "slots_used": statistics["used"],
            "memory_kl": statistics["kl"],
            "memory_kl_largest": float(np.log(len(self.reads))),
            "gini": statistics["gini"],
            "slots_for_50": statistics["top50"],
            "slots_for_90": statistics["top90"],
            "slots_for_99": statistics["top99"],
            "dead_slots": open_slots - int(np.count_nonzero(self.reads)),
            "closed_slots": len(self.reads) - open_slots,
            "dead_regions": dead_regions(self.reads, self.num_keys, self.open_keys),
            "top_slots": self.slots,
        }


def inspect_memories(
    evaluator: Evaluator,
    spec: FeatureSpec,
    dataset: tf.data.Dataset,
    top: int = 10,
    readers: int = 3,
) -> list[MemoryInspection]:
    """Inspects how rows of data read the memories of a model.

    Slots are ranked by their read weight, summed over queries and heads. For the most read slots a
    second pass finds their readers, see `find_readers`.

    Args:
        evaluator: An `Evaluator` of the model.
        spec: The model's `FeatureSpec`, with its assets.
        dataset: Batches of features and labels. It is read twice.
        top: Integer. Number of slots whose readers are found. Defaults to `10`.
        readers: Integer. Number of values of each feature to report. Defaults to `3`.

    Returns:
        A list of `MemoryInspection`.
    """
    inspections = count_reads(evaluator, dataset)
    slots = [inspection.most_read(top) for inspection in inspections]
    find_readers(evaluator, spec, dataset, inspections, slots, readers)
    return inspections


def count_reads(evaluator: Evaluator, dataset: tf.data.Dataset) -> list[MemoryInspection]:
    """Sums the read weights of all slots.

    Args:
        evaluator: An `Evaluator` of the model.
        dataset: Batches of features and labels.

    Returns:
        A `MemoryInspection` for each memory, without slots.
    """
    names = memory_names(evaluator.memories)
    inspections = [_start(*pair) for pair in zip(names, evaluator.memories, strict=True)]
    for _, reads in evaluator.reads(dataset):
        for inspection, (slots, weights, counts) in zip(inspections, reads, strict=True):
            slots, weights = counted(slots, weights, counts)
            np.add.at(inspection.reads, slots.reshape(-1), weights.reshape(-1))
            inspection.queries += len(slots) if counts is None else int(np.sum(counts))
    return inspections


def find_readers(
    evaluator: Evaluator,
    spec: FeatureSpec,
    dataset: tf.data.Dataset,
    inspections: Sequence[MemoryInspection],
    slots: Sequence[Sequence[int]],
    readers: int = 3,
) -> None:
    """Finds who reads some slots, and sets `slots` of the inspections.

    Readers are the values of user features, and of the features of the items that made the query
    (the event of a history if events read, else the candidate). Each has its share of the slot's
    weight, and its lift: this share divided by that of all reads.

    Args:
        evaluator: An `Evaluator` of the model.
        spec: The model's `FeatureSpec`, with its assets.
        dataset: Batches of features and labels.
        inspections: The result of `count_reads` for this dataset.
        slots: The slots of each memory.
        readers: Integer. Number of values of each feature to report. Defaults to `3`.
    """
    watches = [
        _SlotWatch(of_memory, len(inspection.reads), Readers(evaluator.model, memory, spec))
        for of_memory, inspection, memory in zip(
            slots, inspections, evaluator.memories, strict=True
        )
    ]
    for features, reads in evaluator.reads(dataset):
        for watch, read in zip(watches, reads, strict=True):
            watch.take(features, *counted(*read))
    for inspection, watch in zip(inspections, watches, strict=True):
        inspection.slots = watch.slots(inspection, readers)


def _start(name, memory) -> MemoryInspection:
    opened = memory.num_keys
    if memory.open_count is not None:
        opened = int(np.asarray(memory.open_count))
    norms = row_lengths(memory.memory_values)
    return MemoryInspection(name, memory.num_keys, opened, np.zeros(memory.memory_size), norms)


def counted(
    slots: tf.Tensor, weights: tf.Tensor, counts: tf.Tensor | None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns slots and weights as arrays, the weights times how often each query counts.

    Args:
        slots: Integer tensor of shape `(queries, heads, top_k)`.
        weights: Float tensor of the same shape.
        counts: Tensor of shape `(queries,)`, or `None` if every query counts once.
    """
    slots, weights = np.asarray(slots), np.asarray(weights).astype("float64")
    if counts is not None:
        counts = np.asarray(counts)[:, None, None]
        # Not a product alone: what does not count may be no number.
        weights = np.where(counts > 0, weights, 0.0) * counts
    return slots, weights


class _SlotWatch:
    """Sums the read weights of some slots of a memory by reader."""

    def __init__(self, slots, memory_size, readers):
        self._slots = list(slots)
        self._watched_index = np.full(memory_size, -1)
        self._watched_index[self._slots] = np.arange(len(self._slots))
        self._readers = readers
        self._weights = collections.defaultdict(PairWeights)
        self._totals = collections.defaultdict(PairWeights)  # of all slots, in row 0

    def take(self, features, slots, weights):
        queries = self._readers.queries(features, len(slots))
        of_queries = weights.sum(axis=(1, 2))
        index = self._watched_index[slots]
        query, head, rank = np.nonzero((index >= 0) & (weights > 0))  # of (rows, heads, top_k)
        index, weights = index[query, head, rank], weights[query, head, rank]
        for name, ids in queries.ids.items():
            self._weights[name].add(index, ids[query], weights)
            self._totals[name].add(np.zeros_like(ids), ids, of_queries)

    def slots(self, inspection, readers) -> list:
        total = max(inspection.reads.sum(), 1e-300)
        top = {name: pairs.top(readers) for name, pairs in self._weights.items()}
        lifts = {name: _Lift(*pairs.of(0)) for name, pairs in self._totals.items()}
        return [
            {
                "slot": slot,
                "row": slot // inspection.num_keys,
                "column": slot % inspection.num_keys,
                "share": float(inspection.reads[slot] / total),
                "value_norm": float(inspection.value_norms[slot]),
                "readers": {
                    name: [
                        {
                            "value": self._readers.names[name](id_),
                            "share": float(weight / inspection.reads[slot]),
                            "lift": lifts[name](id_, weight / inspection.reads[slot]),
                        }
                        for id_, weight in of_slots[index]
                    ]
                    for name, of_slots in top.items()
                    if index in of_slots
                },
            }
            for index, slot in enumerate(self._slots)
        ]


class _Lift:
    """Shares of ids among the readers of a slot, divided by those among all reads."""

    def __init__(self, ids, weights):
        self._ids, self._shares = ids, weights / max(weights.sum(), 1e-300)

    def __call__(self, id_, share) -> float:
        return float(share / self._shares[np.searchsorted(self._ids, id_)])
