"""Rows stored by group in bounded memory, and the AUC of each group."""

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator

import numpy as np

from lmn_tf.data.encoding.hashing import NO_GROUP

_ROW = np.dtype([("group", "<i8"), ("score", "<f4"), ("label", "<f4"), ("weight", "<f4")])
_PARTITIONS = 64


class GroupedRows:
    """Stores rows of (group, score, label, weight), and yields all rows of a group together.

    Above `spill_rows` rows, the rows in memory are moved to temporary files, partitioned by a hash
    of the group, so that only one partition has to be in memory at a time. The files are removed by
    `clear`, or with the object. Rows of `NO_GROUP` are counted, not stored.

    Args:
        spill_rows: Integer. Largest number of rows in memory.
        folder: Parent of the temporary folder. Defaults to `None`: the system's temporary folder.
    """

    def __init__(self, spill_rows: float, folder: str | None = None) -> None:
        self.spill_rows = spill_rows
        self.folder = folder
        self.num_rows = 0
        self.num_ungrouped = 0
        self._chunks = []
        self._in_memory = 0
        self._files = None
        self._remove_files = None
        self._lock = threading.Lock()  # replicas append from their own threads

    def append(
        self, groups: np.ndarray, scores: np.ndarray, labels: np.ndarray, weights: np.ndarray
    ) -> None:
        """Adds rows, given as arrays of equal length."""
        chunk = np.empty(len(groups), _ROW)
        chunk["group"], chunk["score"] = groups, scores
        chunk["label"], chunk["weight"] = labels, weights
        chunk = chunk[chunk["group"] != NO_GROUP]
        with self._lock:
            self.num_ungrouped += len(groups) - len(chunk)
            self._chunks.append(chunk)
            self._in_memory += len(chunk)
            self.num_rows += len(chunk)
            if self._in_memory > self.spill_rows:
                self._spill()

    def _spill(self):
        if self._files is None:
            self._files = tempfile.mkdtemp(prefix="lmn_tf_groups_", dir=self.folder)
            self._remove_files = weakref.finalize(
                self, shutil.rmtree, self._files, ignore_errors=True
            )
        rows = np.concatenate(self._chunks)
        partitions = _partition(rows["group"])
        rows = rows[np.argsort(partitions, kind="stable")]
        ends = np.cumsum(np.bincount(partitions, minlength=_PARTITIONS))
        for index, part in enumerate(np.split(rows, ends[:-1])):
            if len(part):
                with open(self._path(index), "ab") as file:
                    part.tofile(file)
        self._chunks, self._in_memory = [], 0

    def _path(self, index):
        return os.path.join(self._files, f"{index:03d}.rows")

    def parts(self) -> Iterator[np.ndarray]:
        """Yields arrays of rows; each group is in one of them."""
        with self._lock:
            rows = np.concatenate(self._chunks) if self._chunks else np.empty(0, _ROW)
            if self._files is None:
                yield rows
                return
            partitions = _partition(rows["group"])
            for index in range(_PARTITIONS):
                part = rows[partitions == index]
                if os.path.exists(self._path(index)):
                    part = np.concatenate([np.fromfile(self._path(index), _ROW), part])
                if len(part):
                    yield part

    def clear(self) -> None:
        """Drops all rows and removes the files."""
        with self._lock:
            if self._remove_files is not None:
                self._remove_files()
            self._files = self._remove_files = None
            self._chunks, self._in_memory = [], 0
            self.num_rows = self.num_ungrouped = 0


def _partition(groups):
    # Multiplicative hashing: the top bits depend on all bits of the group, so small and strided
    # ids spread as evenly as hashes.
    mixed = groups.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(64 - 6)).astype(np.int64)


def group_aucs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the weighted AUC of each group of `rows`.

    Args:
        rows: Structured array with `group`, `score`, `label` and `weight`.

    Returns:
        Three float64 arrays with one entry per group, in the order of group numbers: the AUC (NaN
        if the group has only one class), the sum of weights, and the sum of the positives' weights.
    """
    if not len(rows):
        return np.empty(0), np.empty(0), np.empty(0)
    rows = rows[np.lexsort((rows["score"], rows["group"]))]
    new_group = np.empty(len(rows), bool)
    new_group[0] = True
    np.not_equal(rows["group"][1:], rows["group"][:-1], out=new_group[1:])
    # A run is the rows of a group with equal scores: ties.
    new_run = new_group.copy()
    new_run[1:] |= rows["score"][1:] != rows["score"][:-1]
    runs = np.flatnonzero(new_run)
    weights = rows["weight"].astype(np.float64)
    positives = np.add.reduceat(weights * rows["label"], runs)
    negatives = np.add.reduceat(weights * (1.0 - rows["label"]), runs)
    groups = np.searchsorted(runs, np.flatnonzero(new_group))  # first run of each group
    below = np.cumsum(negatives) - negatives
    sizes = np.diff(np.append(groups, len(runs)))
    below -= np.repeat(below[groups], sizes)
    wins = np.add.reduceat(positives * (below + 0.5 * negatives), groups)
    all_positives = np.add.reduceat(positives, groups)
    all_negatives = np.add.reduceat(negatives, groups)
    pairs = all_positives * all_negatives
    aucs = np.full(len(groups), np.nan)
    np.divide(wins, pairs, out=aucs, where=pairs > 0)
    return aucs, all_positives + all_negatives, all_positives
