"""Pictures of how the slots of a memory are used."""

import numpy as np

from lmn_tf import atomic_files

_MOST_CELLS = 256


def draw_memory(inspection, path) -> None:
    """Draws a memory: weight by rank of slot, weight by row and column, lengths of values.

    Args:
        inspection: A `MemoryInspection`.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    ranks, grid, lengths = figure.subplots(1, 3)
    _draw_ranks(ranks, inspection)
    cells = _cells(inspection.reads, inspection.num_keys)
    with np.errstate(divide="ignore"):
        shown = np.log10(cells / max(cells.sum(), 1e-300))
    image = grid.imshow(np.ma.masked_invalid(shown), cmap="viridis", interpolation="nearest")
    grid.set_facecolor("white")
    figure.colorbar(image, ax=grid, label="share of weight, log10")
    grid.set(xlabel="column key", ylabel="row key", title="weight by key; white: never read")
    read = inspection.reads > 0
    for kept, label in ((read, "read"), (~read, "not read")):
        if kept.any():
            lengths.hist(inspection.value_norms[kept], bins=40, alpha=0.6, label=label)
    lengths.set(xlabel="length of value", ylabel="slots", title="values")
    lengths.legend()
    figure.suptitle(inspection.name)
    with atomic_files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_ranks(axes, inspection) -> None:
    share = np.sort(inspection.reads)[::-1] / max(inspection.reads.sum(), 1e-300)
    share = share[share > 0]
    axes.loglog(np.arange(1, len(share) + 1), share)
    size = len(inspection.reads)
    axes.plot([1, size], [1 / size] * 2, "--", color="gray")
    axes.annotate("even use", (1, 1 / size), va="bottom", color="gray")
    axes.set(xlabel="rank of slot", ylabel="share of weight", title="weight by rank")


def _cells(reads, num_keys) -> np.ndarray:
    """The weights by row and column, those of neighbours added up where there are many."""
    together = -(-num_keys // _MOST_CELLS)
    missing = -num_keys % together
    grid = np.pad(reads.reshape(num_keys, num_keys), ((0, missing), (0, missing)))
    parts = grid.shape[0] // together
    return grid.reshape(parts, together, parts, together).sum(axis=(1, 3))
