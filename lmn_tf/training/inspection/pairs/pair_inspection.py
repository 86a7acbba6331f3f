"""Inspection of memories of pairs: their values, and how often rows read them."""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np

from lmn_tf.distribute.tables.rows import get_rows, row_lengths
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.pair_weights import PairWeights
from lmn_tf.training.inspection.pairs.pair_names import PairNames

_READS = (1, 2, 10, 100, 1000)  # where the groups of slots by their reads begin, after 0


class PairInspection:
    """Values of a memory of pairs, and the reads of its pairs by some rows of data.

    With several labels, the value of a slot is that of the first one, and its length that of all.

    Args:
        name: String. Name of the memory.
        memory: Built `PairMemory`.
        read: `PairWeights` of the ids of an event and those of a candidate: number of reads.
        names: `PairNames` of the memory.

    Attributes:
        reads: int32 array of shape `(memory_size,)`: number of reads of each slot.
        values: float32 array of shape `(memory_size,)`.
        lengths: float32 array of shape `(memory_size,)`: Euclidean lengths of the values.
    """

    def __init__(self, name: str, memory: PairMemory, read: PairWeights, names: PairNames) -> None:
        self.name = name
        self._memory, self._names = memory, names
        self._rows, self._columns, self._counts = read.all()
        self._slots = np.asarray(memory.slots(self._rows, self._columns))  # of the read pairs
        self.reads = np.zeros(memory.memory_size, np.int32)
        np.add.at(self.reads, self._slots, self._counts.astype(np.int32))
        self.values = get_rows(memory.memory_values, 0, memory.memory_size)[:, 0]
        self.lengths = row_lengths(memory.memory_values)

    def figures(self, top: int = 10) -> dict:
        """Returns the figures of the memory as plain values.

        Args:
            top: Integer. Number of pairs with the largest and with the smallest values. Defaults to
                `10`.
        """
        size = self._memory.memory_size
        return {
            "memory_size": size,
            "num_rows": self._memory.num_rows,
            "num_columns": self._memory.num_columns,
            "reads": int(self.reads.sum()),
            "pairs_read": len(self._rows),
            "never_read": 100 * float(np.mean(self.reads == 0)),
            "zero_values": 100 * float(np.mean(self.lengths == 0)),
            "norm": float(np.sqrt(np.sum(np.square(self.lengths), dtype=np.float64))),
            "by_reads": list(self._groups()),
            "largest": self._extremes(top, 1),
            "smallest": self._extremes(top, -1),
        }

    def _groups(self) -> Iterator[dict]:
        read = np.flatnonzero(self.reads)  # often few
        reads, lengths = self.reads[read], self.lengths[read]
        groups = [(0, 1, self.lengths[self.reads == 0])]
        for start, stop in zip(_READS, (*_READS[1:], np.inf), strict=True):
            groups.append((start, stop, lengths[(reads >= start) & (reads < stop)]))
        for start, stop, chosen in groups:
            if len(chosen):
                yield {
                    "from": start,
                    "to": None if stop == np.inf else stop - 1,
                    "slots": len(chosen),
                    "mean_length": float(np.mean(chosen, dtype=np.float64)),
                    "largest_length": float(chosen.max()),
                }

    def _extremes(self, count, sign) -> list[dict]:
        """Returns the pairs of the largest values of a sign, the largest first."""
        candidates = self.values * sign > 0
        if not self._is_exact:  # Which pairs are hashed to a slot that was not read is not known.
            candidates &= self.reads > 0
        slots = np.flatnonzero(candidates)
        sizes = np.abs(self.values[slots])
        return [self._described(int(slots[place])) for place in _largest(sizes, count)]

    @property
    def _is_exact(self):
        return self._memory.memory_size == self._memory.num_rows * self._memory.num_columns

    def _described(self, slot) -> dict:
        found = {"slot": slot, "value": float(self.values[slot]), "reads": int(self.reads[slot])}
        if self._is_exact:
            row, column = divmod(slot, self._memory.num_columns)
        else:
            pairs = np.flatnonzero(self._slots == slot)
            most = pairs[np.argmax(self._counts[pairs])]
            row, column = self._rows[most], self._columns[most]
            found["other_pairs"] = len(pairs) - 1
        names = self._names
        return {"event": names.event(row), "candidate": names.candidate(column), **found}


def inspect_pairs(run: InspectedRun) -> list[PairInspection]:
    """Inspects how the rows of a run read the memories of pairs of its model.

    Args:
        run: `InspectedRun`.

    Returns:
        A `PairInspection` of each memory of `run.pairs`.
    """
    model, memories = run.evaluator.model, run.pairs.values()
    sums = [PairWeights() for _ in memories]
    with contextlib.ExitStack() as stack:
        for memory, pairs in zip(memories, sums, strict=True):
            stack.enter_context(memory.watched(functools.partial(_add, pairs)))
        for features, *_ in run.dataset():
            model(features, training=False)
    return [
        PairInspection(name, memory, pairs, PairNames(model, memory, run.spec))
        for (name, memory), pairs in zip(run.pairs.items(), sums, strict=True)
    ]


def _largest(sizes, count) -> np.ndarray:
    """Returns where the largest numbers are, the largest one first, equal ones by their place."""
    places = np.arange(len(sizes))
    if len(sizes) > count:
        places = np.argpartition(sizes, len(sizes) - count)[-count:]
    return places[np.lexsort((places, -sizes[places]))]


def _add(pairs, reading, known) -> None:
    known = np.asarray(known)
    rows, columns = np.asarray(reading.rows)[known], np.asarray(reading.columns)[known]
    pairs.add(rows, columns, np.ones(len(rows)))
