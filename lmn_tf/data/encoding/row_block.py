"""Blocks of encoded rows, from which batches are gathered."""

import dataclasses
import functools

import numpy as np

from lmn_tf.data.encoding.elapsed_time import elapsed_ids
from lmn_tf.data.encoding.ragged import Ragged, join, padded_index


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


def round_up(length: int, max_length: int) -> int:
    """Returns the smallest bucket that holds `length`.

    Example:

    >>> round_up(13, 50)
    16
    """
    return next(bucket for bucket in length_buckets(max_length) if bucket >= length)


@dataclasses.dataclass
class Times:
    """Event times of a history by reference, which become ids once the request time is known.

    Args:
        values: int64 microseconds, one an event.
        unit: Unit of the buckets.
        num_buckets: Number of buckets.
    """

    values: np.ndarray
    unit: str
    num_buckets: int


@dataclasses.dataclass
class SequenceRows:
    """Histories: row `i` has the events `starts[i] : starts[i] + lengths[i]` of every field.

    Args:
        max_length: Integer. Longest history.
        starts: int64 array `(rows,)`.
        lengths: int32 array `(rows,)`.
        fields: Mapping from field to its events: an array, a `Ragged` or `Times`.
        request: int64 microseconds `(rows,)` where a field is `Times`, else `None`.
        shared: Boolean. Whether the fields belong to all rows (histories by reference), and end
            with a padding event.
    """

    max_length: int
    starts: np.ndarray
    lengths: np.ndarray
    fields: dict
    request: np.ndarray | None = None
    shared: bool = False

    @classmethod
    def join(cls, parts: list["SequenceRows"]) -> "SequenceRows":
        """Returns the rows of all parts, the events ended by a padding event."""
        first = parts[0]
        lengths = np.concatenate([part.lengths for part in parts])
        if first.shared:
            request = None
            if first.request is not None:
                request = np.concatenate([part.request for part in parts])
            starts = np.concatenate([part.starts for part in parts])
            return cls(first.max_length, starts, lengths, first.fields, request, True)
        counts = np.cumsum([0] + [int(part.lengths.sum()) for part in parts])
        starts = [part.starts + count for part, count in zip(parts, counts, strict=False)]
        fields = {name: join([part.fields[name] for part in parts]) for name in first.fields}
        return cls(first.max_length, np.concatenate(starts), lengths, fields)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the mask and the padded fields of some rows, without the sequence's name."""
        starts, lengths = self.starts[rows], self.lengths[rows]
        width = round_up(int(lengths.max(initial=0)), self.max_length)
        index, mask = padded_index(starts, lengths, width, _num_events(self.fields))
        batch = {"mask": mask}
        for name, field in self.fields.items():
            if isinstance(field, Times):
                times = field.values.take(index)
                request = self.request[rows][:, None]
                ids = elapsed_ids(request, times, field.unit, field.num_buckets)
                batch[name] = ids * mask
            elif isinstance(field, Ragged):
                _put_lists(batch, name, field, field.starts.take(index), field.lengths.take(index))
            else:
                batch[name] = field.take(index, axis=0)
        return batch


@dataclasses.dataclass
class RowBlock:
    """A window of encoded rows.

    Args:
        features: Mapping from feature (or `"group"`) to an array or a `Ragged`.
        sequences: Mapping from sequence to its `SequenceRows`.
        labels: float32 array `(rows, labels)`, or `None`.
        weights: float32 array `(rows,)`, or `None`.
    """

    features: dict
    sequences: dict
    labels: np.ndarray | None
    weights: np.ndarray | None

    @classmethod
    def join(cls, parts: list["RowBlock"]) -> "RowBlock":
        """Returns the rows of all parts, ready for `batch`."""
        first = parts[0]
        return cls(
            {name: join([part.features[name] for part in parts]) for name in first.features},
            {
                name: SequenceRows.join([part.sequences[name] for part in parts])
                for name in first.sequences
            },
            None if first.labels is None else np.concatenate([part.labels for part in parts]),
            None if first.weights is None else np.concatenate([part.weights for part in parts]),
        )

    def batch(
        self, rows: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None, np.ndarray | None]:
        """Returns `(features, labels, weights)` of some rows of a joined block.

        Args:
            rows: int64 array. Which rows, in the order that the batch shall have.
        """
        features: dict[str, np.ndarray] = {}
        for name, values in self.features.items():
            if isinstance(values, Ragged):
                _put_lists(features, name, values, values.starts[rows], values.lengths[rows])
            else:
                features[name] = values.take(rows, axis=0)
        for name, sequence in self.sequences.items():
            for field, values in sequence.batch(rows).items():
                features[f"{name}/{field}"] = values
        labels = None if self.labels is None else self.labels.take(rows, axis=0)
        weights = None if self.weights is None else self.weights.take(rows)
        return features, labels, weights


def _put_lists(batch, name, ragged, starts, lengths):
    width = max(int(lengths.max(initial=0)), 1)
    index, _ = padded_index(starts, lengths, width, len(ragged.values) - 1)
    batch[name] = ragged.values.take(index)
    if ragged.weights is not None:
        batch[f"{name}/weights"] = ragged.weights.take(index)


def _num_events(fields) -> int:
    field = next(iter(fields.values()))
    if isinstance(field, Ragged):
        return len(field.lengths) - 1
    return len(field.values if isinstance(field, Times) else field) - 1
