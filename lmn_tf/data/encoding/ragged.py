"""Lists of values as flat arrays."""

import dataclasses

import numpy as np

# Created once: allocation for each batch takes longer than all operations on it.
_STEPS = np.arange(1 << 19)


@dataclasses.dataclass
class Ragged:
    """Lists of values: item `i` has `values[starts[i] : starts[i] + lengths[i]]`.

    Args:
        values: Flat array.
        starts: int64 array `(items,)`.
        lengths: int32 array `(items,)`.
        weights: float32 array shaped like `values`, or `None`. Defaults to `None`.
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    weights: np.ndarray | None = None

    def padded(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns values and weights `(items, width)` of some items, padded with zeros.

        Args:
            items: int64 array. Indices of items; the width is that of the longest, and at least 1.
        """
        starts, lengths = self.starts.take(items), self.lengths.take(items)
        width = max(int(lengths.max(initial=0)), 1)
        mask = np.arange(width, dtype=np.int32) < lengths[:, None]
        index = flat_index(starts, lengths)
        values = _spread(self.values, index, mask)
        return values, None if self.weights is None else _spread(self.weights, index, mask)


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Returns the start of each list in the flat values, an exclusive running sum."""
    starts = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def flat_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the flat positions of all values of the lists, one list after another.

    Example:

    >>> flat_index(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    index = np.repeat(starts - starts_of(lengths), lengths)
    index += _STEPS[: len(index)] if len(index) <= len(_STEPS) else np.arange(len(index))
    return index


def join(parts: list) -> np.ndarray | Ragged:
    """Concatenates the items of all parts.

    Args:
        parts: Non-empty list of arrays, or of `Ragged`.
    """
    first = parts[0]
    if not isinstance(first, Ragged):
        return np.concatenate(parts)
    lengths = np.concatenate([part.lengths for part in parts])
    values = np.concatenate([part.values for part in parts])
    weights = None
    if first.weights is not None:
        weights = np.concatenate([part.weights for part in parts])
    return Ragged(values, starts_of(lengths), lengths, weights)


def equal_items(items: np.ndarray | Ragged, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns whether the items `left[i]` and `right[i]` are equal, for each `i`.

    Args:
        items: Array `(items, ...)` or `Ragged`.
        left: int64 array.
        right: int64 array.

    Example:

    >>> equal_items(np.array([7, 8, 7]), np.array([0, 0]), np.array([1, 2])).tolist()
    [False, True]
    """
    if not isinstance(items, Ragged):
        equal = items.take(left, axis=0) == items.take(right, axis=0)
        return equal.all(axis=tuple(range(1, equal.ndim)))
    lengths = items.lengths.take(left)
    equal = lengths == items.lengths.take(right)
    for values in (items.values, items.weights):
        if values is not None:
            some = np.flatnonzero(equal)
            starts = items.starts.take(left[some]), items.starts.take(right[some])
            equal[some] = equal_lists(values, *starts, lengths[some])
    return equal


def item_codes(items: np.ndarray | Ragged) -> np.ndarray:
    """Returns an int64 number for each item, the same for equal items.

    Args:
        items: Array `(items, ...)` or `Ragged`.

    Example:

    >>> item_codes(np.array([[7, 8], [5, 5], [7, 8]])).tolist()
    [1, 0, 1]
    """
    if not isinstance(items, Ragged):
        return np.unique(items, axis=0, return_inverse=True)[1].reshape(-1)
    codes: dict = {}
    parts = [part for part in (items.values, items.weights) if part is not None]
    stops = items.starts + items.lengths
    return np.array(
        [
            codes.setdefault(tuple(part[start:stop].tobytes() for part in parts), len(codes))
            for start, stop in zip(items.starts.tolist(), stops.tolist(), strict=True)
        ],
        np.int64,
    )


def equal_lists(
    items: np.ndarray | Ragged, left: np.ndarray, right: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Returns whether the `lengths[i]` items from `left[i]` equal those from `right[i]`.

    Args:
        items: Array `(items, ...)` or `Ragged`.
        left: int64 array.
        right: int64 array.
        lengths: Integer array.

    Example:

    >>> items = np.array([7, 8, 7, 8, 9])
    >>> equal_lists(items, np.array([0, 1]), np.array([2, 3]), np.array([2, 2])).tolist()
    [True, False]
    """
    equal = np.ones(len(lengths), bool)
    some = np.flatnonzero(lengths)
    # Different lists nearly always differ in their last item; the others are compared completely.
    last = lengths[some] - 1
    equal[some] = equal_items(items, left[some] + last, right[some] + last)
    some = some[equal[some]]
    if not len(some):
        return equal
    pair = flat_index(left[some], lengths[some]), flat_index(right[some], lengths[some])
    equal[some] = np.logical_and.reduceat(equal_items(items, *pair), starts_of(lengths[some]))
    return equal


def _spread(values: np.ndarray, index: np.ndarray, mask: np.ndarray) -> np.ndarray:
    cells = np.zeros(mask.shape, values.dtype)
    cells[mask] = values.take(index)
    return cells
