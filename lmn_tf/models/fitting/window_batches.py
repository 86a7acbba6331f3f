"""Rows of batches whose histories are windows into shared events."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.specs.feature_spec import FeatureSpec


@dataclasses.dataclass(frozen=True)
class WindowColumns:
    """The columns of one sequence in a batch of windows.

    `NAME/first` and `NAME/length` have an element a row. All other columns of a batch do, too.

    Args:
        name: String. The sequence.
        max_length: Integer. Longest history.
        events: Tuple of the keys of columns with an element an event.
        pairs: Tuple of the keys of columns with an element for each pair of a row and an event
            that it sees.
    """

    name: str
    max_length: int
    events: tuple[str, ...]
    pairs: tuple[str, ...]

    @property
    def first(self) -> str:
        """Key of the rows' first events."""
        return f"{self.name}/first"

    @property
    def length(self) -> str:
        """Key of the rows' numbers of events."""
        return f"{self.name}/length"

    @property
    def keys(self) -> set[str]:
        """All keys of the sequence."""
        return {self.first, self.length, *self.events, *self.pairs}


class WindowBatches:
    """Counts, chooses, splits and pads the rows of batches of one feature spec.

    In a batch of windows the events of a sequence stand there once, and a row sees those at
    `first : first + length`, where `first` never decreases. So not all arrays of a batch have an
    element a row. Batches and nestings of arrays without windows are taken as well: there they do.

    Args:
        sequences: Tuple of `WindowColumns`. Defaults to `()`: batches never hold windows.

    Example:

    >>> clicks = WindowColumns("clicks", 50, events=("clicks/item",), pairs=())
    >>> batches = WindowBatches((clicks,))
    >>> features = {"clicks/first": [0, 1], "clicks/length": [2, 2], "clicks/item": [7, 8, 9]}
    >>> int(batches.rows(features))
    2
    >>> batches.padded(features)["clicks/item"][:, :3].numpy().tolist()
    [[7, 8, 0], [8, 9, 0]]
    """

    def __init__(self, sequences: tuple[WindowColumns, ...] = ()) -> None:
        self.sequences = tuple(sequences)

    @classmethod
    def from_spec(cls, spec: FeatureSpec) -> WindowBatches:
        """Returns what the batches of a `FeatureSpec` need."""
        sequences = []
        for sequence in spec.sequences:
            keys = {False: [], True: []}
            for field in sequence.fields:
                column = spec.resolved_field(sequence, field)
                key = f"{sequence.name}/{field.name}"
                keys[column.of_pairs].append(key)
                if column.weights is not None:
                    keys[False].append(f"{key}/weights")
            columns = tuple(keys[False]), tuple(keys[True])
            sequences.append(WindowColumns(sequence.name, sequence.max_length, *columns))
        return cls(tuple(sequences))

    def found(self, features: Any) -> tuple[WindowColumns, ...]:
        """Returns the sequences that features hold as windows.

        Args:
            features: Dictionary of tensors or of their specs, or any other nesting.
        """
        if not isinstance(features, Mapping):
            return ()
        return tuple(columns for columns in self.sequences if columns.first in features)

    def rows(self, features: Any) -> tf.Tensor:
        """Returns the number of rows, an int32 scalar.

        Args:
            features: Dictionary or other nesting of tensors.
        """
        windows = self.found(features)
        one = features[windows[0].first] if windows else tf.nest.flatten(features)[0]
        return tf.shape(one)[0]

    def kept(self, features: Any, keep: tf.Tensor) -> Any:
        """Returns some of the rows, with the events that any of them sees.

        Args:
            features: Dictionary or other nesting of tensors.
            keep: Boolean tensor `(rows,)`.
        """
        places = tf.where(keep)[:, 0]
        return self._chosen(
            features,
            rows=lambda part: tf.gather(part, places),
            pairs=lambda part, length: tf.boolean_mask(part, tf.repeat(keep, length)),
            closed_up=_seen,
        )

    def share(self, batch: Any, replica: int, replicas: int) -> Any:
        """Returns the part of a batch that a replica takes, with the events that its rows see.

        Rows are dealt as TensorFlow deals them: each replica takes as many of those that are left
        as fit into equal shares, rounded up, so that the last ones may have fewer or none.

        Args:
            batch: Features, or a tuple of features, labels and weights.
            replica: Integer. Which replica.
            replicas: Integer. How many there are.
        """
        features, *others = batch if isinstance(batch, tuple) else (batch,)
        rows = self.rows(features)
        size = -(-rows // replicas)
        start = tf.minimum(size * replica, rows)
        stop = tf.minimum(start + size, rows)

        def pairs_of(part, length):
            ends = tf.pad(tf.cumsum(length), [[1, 0]])
            return part[ends[start] : ends[stop]]

        def rows_of(part):
            return None if part is None else part[start:stop]

        features = self._chosen(features, rows_of, pairs_of, closed_up=_between)
        others = tf.nest.map_structure(rows_of, tuple(others))
        return (features, *others) if isinstance(batch, tuple) else features

    def padded(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the same rows with histories of one length, each with its own events.

        Lengths are those of `length_buckets`, so that a compiled function sees few shapes.

        Args:
            features: Dictionary of tensors.

        Returns:
            Dictionary with `NAME/mask`, a boolean tensor `(rows, length)`, in the place of windows,
            and columns of shape `(rows, length, ...)` with zeros behind the last event.
        """
        result = dict(features)
        for columns in self.found(features):
            first = tf.convert_to_tensor(result.pop(columns.first))
            length = tf.convert_to_tensor(result.pop(columns.length))
            steps = tf.range(_width(length, columns.max_length))
            result[f"{columns.name}/mask"] = mask = steps < length[:, None]
            before = tf.cumsum(length, exclusive=True)
            for starts, keys in ((first, columns.events), (before, columns.pairs)):
                for key in keys:
                    if key in features:
                        result[key] = _padded(features[key], starts[:, None] + steps, mask)
        return result

    def _chosen(self, features, rows, pairs, closed_up):
        """The features of some rows: `rows` and `pairs` take them from such columns.

        Of the windows left, `closed_up` returns the new `first` and what takes the events.
        """
        windows = self.found(features)
        if not windows:
            return tf.nest.map_structure(rows, features)
        others = set().union(*(columns.keys for columns in windows))
        result = {key: rows(part) for key, part in features.items() if key not in others}
        for columns in windows:
            first, length = rows(features[columns.first]), rows(features[columns.length])
            result[columns.first], events = closed_up(first, length)
            result[columns.length] = length
            for key in columns.events:
                if key in features:
                    result[key] = events(features[key])
            for key in columns.pairs:
                if key in features:
                    result[key] = pairs(features[key], features[columns.length])
        return {key: result[key] for key in features}


@functools.cache
def length_buckets(max_length: int) -> tuple[int, ...]:
    """Returns the padded lengths that batches may have: 8, 12, 16, 24, 32, ... and `max_length`.

    Powers of two and one and a half times them: padding adds at most a half to the longest
    history, and a compiled function sees few shapes.

    Args:
        max_length: Integer. Longest history that a spec keeps.

    Example:

    >>> length_buckets(50)
    (8, 12, 16, 24, 32, 48, 50)
    """
    lengths = []
    power = 8
    while power < max_length:
        lengths += [power, power + power // 2]
        power *= 2
    return tuple(length for length in lengths if length < max_length) + (max_length,)


def mapped(dataset: tf.data.Dataset, function: Callable[[Any], Any]) -> tf.data.Dataset:
    """Returns a dataset with a function of the features applied to each batch.

    Args:
        dataset: Dataset of features, or of tuples that begin with them.
        function: Function from features to features.
    """
    if isinstance(dataset.element_spec, tuple):
        return dataset.map(lambda features, *others: (function(features), *others))
    return dataset.map(function)


def _between(first, length):
    """Closes up to the events from the first to the last one that is seen: a slice of them."""
    start = tf.reduce_sum(first[:1])  # 0 where there is no row
    stop = tf.maximum(tf.reduce_max(first + length), start)
    return first - start, lambda part: part[start:stop]


def _seen(first, length):
    """Closes up to the events that are seen."""
    ends = first + length
    changes = tf.concat([tf.ones_like(first), -tf.ones_like(first)], axis=0)
    places = tf.concat([first, ends], axis=0)
    count = tf.maximum(tf.reduce_max(ends), 0)
    seen = tf.cumsum(tf.math.unsorted_segment_sum(changes, places, count + 1))[:-1] > 0
    before = tf.pad(tf.cumsum(tf.cast(seen, tf.int32)), [[1, 0]])
    return tf.gather(before, first), lambda part: tf.boolean_mask(part[:count], seen)


def _width(length, max_length):
    """The smallest of the padded lengths that holds all."""
    buckets, longest = tf.constant(length_buckets(max_length)), tf.reduce_max(length)
    place = tf.searchsorted(buckets[:-1], longest[None])[0]
    return tf.maximum(buckets[place], longest)


def _padded(part, index, mask):
    """The elements at the masked places of an index, zeros elsewhere."""
    part = tf.convert_to_tensor(part)
    rank = part.shape.rank
    part = tf.pad(part, [[0, 1]] + [[0, 0]] * (rank - 1))
    return tf.gather(part, tf.where(mask, index, tf.shape(part)[0] - 1))
