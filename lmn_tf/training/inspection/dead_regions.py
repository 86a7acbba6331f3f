"""Regions of the grid of row and column keys that are not read."""

import numpy as np

_MOST_CELLS = 256  # on each axis, for which the largest rectangle is searched


def dead_regions(reads: np.ndarray, num_keys: int, open_keys: int) -> dict:
    """Finds rows, columns and the largest rectangle of the open slots that were not read.

    Neighboring keys have nothing in common, so a large rectangle is no pattern by itself. It is
    compared with that of the same number of read slots at random places.

    Args:
        reads: Array of shape `(num_keys ** 2,)`. Read weight of each slot.
        num_keys: Integer. Number of keys on each axis.
        open_keys: Integer. Number of keys on each axis that can be read.

    Returns:
        Dictionary of `open_keys`, `dead_rows` and `dead_columns` (the number of keys whose slots
        were not read), `rectangle` (`first_row`, `last_row`, `first_column`, `last_column` and the
        number of `slots`, or `None` if all slots were read) and `rectangle_by_chance`, its number
        of slots if the read slots were at random places. For more than 256 keys, rectangles consist
        of whole blocks of keys.

    Example:

    >>> regions = dead_regions(np.array([1.0, 0.0, 1.0, 0.0]), num_keys=2, open_keys=2)
    >>> regions["dead_rows"], regions["dead_columns"], regions["rectangle"]["slots"]
    (0, 1, 2)
    """
    read = reads.reshape(num_keys, num_keys)[:open_keys, :open_keys] > 0
    found = _rectangle(read)
    shuffled = np.random.default_rng(0).permutation(read.reshape(-1)).reshape(read.shape)
    by_chance = _rectangle(shuffled)
    return {
        "open_keys": open_keys,
        "dead_rows": int(np.count_nonzero(~read.any(axis=1))),
        "dead_columns": int(np.count_nonzero(~read.any(axis=0))),
        "rectangle": found,
        "rectangle_by_chance": by_chance["slots"] if by_chance else 0,
    }


def _rectangle(read) -> dict | None:
    """Returns the largest rectangle without a slot that was read."""
    size = len(read)
    block = -(-size // _MOST_CELLS)
    padding = -size % block
    blocks = np.pad(read, (0, padding)).reshape(
        (size + padding) // block, block, (size + padding) // block, block
    )
    found = largest_rectangle(~blocks.any(axis=(1, 3)))
    if found is None:
        return None
    first_row, last_row, first_column, last_column = found
    rows = first_row * block, min((last_row + 1) * block, size) - 1
    columns = first_column * block, min((last_column + 1) * block, size) - 1
    return {
        "first_row": rows[0],
        "last_row": rows[1],
        "first_column": columns[0],
        "last_column": columns[1],
        "slots": (rows[1] - rows[0] + 1) * (columns[1] - columns[0] + 1),
    }


def largest_rectangle(cells: np.ndarray) -> tuple[int, int, int, int] | None:
    """Returns the largest rectangle of true cells.

    For each row, the heights of the columns of true cells that end in it are a histogram, in which
    the largest rectangle is found with a stack of rising heights.

    Args:
        cells: Boolean array of shape `(rows, columns)`.

    Returns:
        Tuple of the first and the last row, and the first and the last column; `None` if no cell
        is true.

    Example:

    >>> largest_rectangle(np.array([[True, True, False], [True, True, True]]))
    (0, 1, 0, 1)
    """
    best, largest = None, 0
    heights = np.zeros(cells.shape[1], int)
    for row, line in enumerate(cells):
        heights = (heights + 1) * line
        stack = []  # pairs of a column where a rectangle begins, and its height
        for column, height in enumerate([*heights.tolist(), 0]):
            start = column
            while stack and stack[-1][1] >= height:
                start, top = stack.pop()
                if top * (column - start) > largest:
                    largest = top * (column - start)
                    best = (row - top + 1, row, start, column - 1)
            stack.append((start, height))
    return best
