"""Lists of values as flat arrays."""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Ragged:
    """One list an item: item `i` has `values[starts[i] : starts[i] + lengths[i]]`.

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


def starts_of(lengths: np.ndarray) -> np.ndarray:
    """Returns where each list begins in the flat values: the exclusive running sum."""
    starts = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1], out=starts[1:])
    return starts


def flat_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Returns the flat positions of all values of the lists, one list after another.

    Example:

    >>> flat_index(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    shift = starts - starts_of(lengths)
    return np.repeat(shift, lengths) + np.arange(int(lengths.sum()))


def padded_index(
    starts: np.ndarray, lengths: np.ndarray, width: int, padding: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns flat positions `(..., width)`, `padding` beyond each length, and the mask.

    Args:
        starts: int64 array `(...)`.
        lengths: Integer array `(...)`.
        width: Integer. Number of positions.
        padding: Integer. Flat position of the padding value.
    """
    steps = np.arange(width, dtype=np.int64)
    mask = steps < lengths[..., None]
    return np.where(mask, starts[..., None] + steps, padding), mask


def join(parts: list) -> np.ndarray | Ragged:
    """Returns the items of all parts as one, with one padding item (zero, empty) at the end.

    Args:
        parts: Non-empty list of arrays, or of `Ragged`, all of one kind.
    """
    first = parts[0]
    if isinstance(first, Ragged):
        lengths = np.concatenate([part.lengths for part in parts] + [[0]]).astype(np.int32)
        weights = None
        if first.weights is not None:
            weights = join([_tight(part.weights, part) for part in parts])
        values = join([_tight(part.values, part) for part in parts])
        return Ragged(values, starts_of(lengths), lengths, weights)
    end = np.zeros((1, *first.shape[1:]), first.dtype)
    return np.concatenate([*parts, end])


def _tight(values: np.ndarray, ragged: Ragged) -> np.ndarray:
    """Returns the values without the padding item that an earlier `join` put at their end."""
    return values[: int(ragged.lengths.sum())]
