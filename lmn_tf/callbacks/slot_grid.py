"""Heat maps of the use of a memory's slots by row and column key."""

import numpy as np

_MOST_CELLS = 256  # on each axis
_LEAST_PIXELS = 256


def slot_grid(reads: np.ndarray, num_keys: int) -> np.ndarray:
    """Returns the weights by row and column key; if there are many, neighbors are summed.

    Args:
        reads: Array of shape `(num_keys ** 2,)`.
        num_keys: Integer.

    Returns:
        Array of shape `(cells, cells)`, of at most 256 cells on each axis.

    Example:

    >>> slot_grid(np.arange(4.0), 2).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    keys_per_cell = -(-num_keys // _MOST_CELLS)
    padding = -num_keys % keys_per_cell
    grid = np.pad(reads.reshape(num_keys, num_keys), ((0, padding), (0, padding)))
    size = grid.shape[0] // keys_per_cell
    return grid.reshape(size, keys_per_cell, size, keys_per_cell).sum(axis=(1, 3))


def grid_image(reads: np.ndarray, num_keys: int) -> np.ndarray:
    """Draws the weights by row key (down) and column key (right).

    Brightness is the logarithm of the weight over three powers of ten below the largest cell, from
    dark blue to yellow. Cells that were never read are white.

    Args:
        reads: Array of shape `(num_keys ** 2,)`.
        num_keys: Integer.

    Returns:
        `uint8` array of shape `(pixels, pixels, 3)`, of at least 256 pixels for many-key grids and
        of whole pixels for each cell.

    Example:

    >>> grid_image(np.array([1.0, 0.0, 0.0, 1.0]), 2)[0, 128:].min()
    np.uint8(255)
    """
    import matplotlib

    cells = slot_grid(reads, num_keys)
    with np.errstate(divide="ignore"):
        decades = np.log10(cells / max(cells.max(), 1e-300))
    colors = matplotlib.colormaps["viridis"](np.clip(1.0 + decades / 3.0, 0.0, 1.0), bytes=True)
    image = np.where(cells[..., None] > 0, colors[..., :3], np.uint8(255))
    pixels = -(-_LEAST_PIXELS // len(cells))
    return image.repeat(pixels, axis=0).repeat(pixels, axis=1)
