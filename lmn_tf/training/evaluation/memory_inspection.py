"""Inspection of a model's memories: usage and readers of each slot."""

import collections
import dataclasses

import numpy as np
import tensorflow as tf

from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.distribute.tables.rows import row_lengths
from lmn_tf.metrics.memory_usage import usage_statistics
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.ops.sequence.windows import Windows
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.memory_reads import memory_names
from lmn_tf.training.evaluation.pair_weights import PairWeights


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
    second pass finds their readers: the values of user features, and of the features of the items
    that made the query (the event of a history if events read, else the candidate), by their share
    of the slot's weight.

    Args:
        evaluator: An `Evaluator` of the model.
        spec: The model's `FeatureSpec`, with its assets.
        dataset: Batches of features and labels. It is read twice.
        top: Integer. Number of slots whose readers are found. Defaults to `10`.
        readers: Integer. Number of values of each feature to report. Defaults to `3`.

    Returns:
        A list of `MemoryInspection`.
    """
    names = memory_names(evaluator.memories)
    inspections = [_start(*pair) for pair in zip(names, evaluator.memories, strict=True)]
    for _, reads in evaluator.reads(dataset):
        for inspection, (slots, weights, counts) in zip(inspections, reads, strict=True):
            slots, weights = _counted(slots, weights, counts)
            np.add.at(inspection.reads, slots.reshape(-1), weights.reshape(-1))
            inspection.queries += len(slots) if counts is None else int(np.sum(counts))
    watches = [
        _SlotWatch(inspection.reads, top, _Readers(evaluator.model, memory, spec))
        for inspection, memory in zip(inspections, evaluator.memories, strict=True)
    ]
    for features, reads in evaluator.reads(dataset):
        for watch, (slots, weights, counts) in zip(watches, reads, strict=True):
            watch.take(features, *_counted(slots, weights, counts))
    for inspection, watch in zip(inspections, watches, strict=True):
        inspection.slots = watch.slots(inspection, readers)
    return inspections


def _start(name, memory) -> MemoryInspection:
    opened = memory.num_keys
    if memory.open_count is not None:
        opened = int(np.asarray(memory.open_count))
    norms = row_lengths(memory.memory_values)
    return MemoryInspection(name, memory.num_keys, opened, np.zeros(memory.memory_size), norms)


def _counted(slots, weights, counts):
    """Returns slots and weights as arrays, the weights times how often each query counts."""
    slots, weights = np.asarray(slots), np.asarray(weights).astype("float64")
    if counts is not None:
        counts = np.asarray(counts)[:, None, None]
        # Not a product alone: what does not count may be no number.
        weights = np.where(counts > 0, weights, 0.0) * counts
    return slots, weights


class _SlotWatch:
    """Sums the read weights of the most read slots of a memory by reader."""

    def __init__(self, reads, top, readers):
        ranked = np.argsort(-reads, kind="stable")[:top]
        self._slots = [int(slot) for slot in ranked if reads[slot] > 0]
        self._watched_index = np.full(len(reads), -1)
        self._watched_index[self._slots] = np.arange(len(self._slots))
        self._readers = readers
        self._weights = collections.defaultdict(PairWeights)

    def take(self, features, slots, weights):
        index = self._watched_index[slots]
        query, head, rank = np.nonzero((index >= 0) & (weights > 0))  # of (rows, heads, top_k)
        index, weights = index[query, head, rank], weights[query, head, rank]
        for name, ids in self._readers.ids(features, len(slots)).items():
            self._weights[name].add(index, ids[query], weights)

    def slots(self, inspection, readers) -> list:
        total = inspection.reads.sum()
        top = {name: pairs.top(readers) for name, pairs in self._weights.items()}
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
                        }
                        for id_, weight in of_slots[index]
                    ]
                    for name, of_slots in top.items()
                    if index in of_slots
                },
            }
            for index, slot in enumerate(self._slots)
        ]


class _Readers:
    """Ids of the user and item features behind each query of a memory."""

    def __init__(self, model, memory, spec):
        self._model, self._batches = model, WindowBatches.from_spec(spec)
        self._sequence = next(
            (
                sequence
                for sequence in spec.sequences
                if getattr(_layer(model, sequence.name), "memory", None) is memory
            ),
            None,
        )
        plain = [
            feature
            for feature in spec.features
            if feature.has_ids and feature.kind != "multi_value"
        ]
        self._users = [feature.name for feature in plain if feature.role == "user"]
        self._items = {feature.name: feature for feature in plain if feature.role == "item"}
        if self._sequence is not None:
            columns = [spec.resolved_field(self._sequence, f) for f in self._sequence.fields]
            self._items = {
                column.like: column
                for column in columns
                if column.like in self._items and not (column.of_pairs and self._reads_events)
            }
        names = {*self._users, *self._items}
        self.names = {
            feature.name: IdNames(spec, feature) for feature in plain if feature.name in names
        }

    @property
    def _reads_events(self):
        """Whether queries are made of the fields that depend on the event alone."""
        return self._model.options.memory_fields == "event"

    def ids(self, features, count) -> dict:
        """Returns the ids of all queries by feature, -1 for none.

        Args:
            features: Dictionary of a batch.
            count: Integer. Number of queries.
        """
        batch = int(self._batches.rows(features))
        if self._sequence is None:
            rows = np.arange(count) // max(count // batch, 1)
            items = {name: np.asarray(features[name])[rows] for name in self._items}
        else:
            events, combinations = self._model.encoder.windows(self._sequence.name, features)
            windows = events if self._reads_events else combinations
            rows = windows.of_events(tf.range(batch)[:, None]).numpy()[:, 0]
            # Behind the events may be the candidates.
            candidates = np.arange(count - len(rows))
            rows = np.concatenate([rows, candidates])
            items = {
                name: np.concatenate(
                    [self._of_events(features, column, windows), features[name].numpy()[candidates]]
                )
                for name, column in self._items.items()
            }
        return items | {name: np.asarray(features[name])[rows] for name in self._users}

    def _of_events(self, features, column, windows):
        """Returns the ids of the events that are queries."""
        ids = features[f"{column.sequence}/{column.name}"]
        if not isinstance(windows, Windows):
            return windows.take(ids).numpy()
        return (windows.distinct(ids) if column.of_pairs else windows.combined(ids)).numpy()


def _layer(model, sequence):
    layer = getattr(model, "memories", {}).get(sequence)
    return layer if getattr(model, "memorize", "history") == "history" else None
