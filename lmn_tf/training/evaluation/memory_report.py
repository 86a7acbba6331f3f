"""Report of the contents of memories, as text and as pictures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from lmn_tf import atomic_files
from lmn_tf.callbacks.slot_grid import slot_grid
from lmn_tf.training.evaluation.metrics_table import aligned

if TYPE_CHECKING:
    from lmn_tf.training.evaluation.memory_inspection import MemoryInspection


def memory_text(report: dict) -> str:
    """Formats the figures of memories as text.

    Args:
        report: `{"model", "memories": {name: figures}}` with figures of `MemoryInspection`.

    Returns:
        String: for each memory its usage, then one line for each of its most read slots.
    """
    lines = []
    for name, memory in report["memories"].items():
        lines += [*([""] if lines else []), f"{report['model']}: {name}", *_use(memory)]
        lines += ["", *_slots(memory["top_slots"])] if memory["top_slots"] else []
    return "\n".join(lines)


def _use(memory) -> list[str]:
    size = memory["memory_size"]
    if not memory["top_slots"]:
        return [f"{size:,} slots, none of which was read"]
    closed = f", {memory['closed_slots']:,} closed" if memory["closed_slots"] else ""
    parts = [
        (50, memory["slots_for_50"]),
        (90, memory["slots_for_90"]),
        (99, memory["slots_for_99"]),
    ]
    return [
        f"{size:,} slots ({memory['num_keys']} x {memory['num_keys']} keys) read by "
        f"{memory['queries']:,} queries",
        f"slots used: {memory['slots_used']:.1f} %, dead: {memory['dead_slots']:,}{closed}",
        f"KL from even use: {memory['memory_kl']:.3f} (one slot only: "
        f"{memory['memory_kl_largest']:.3f}), gini {memory['gini']:.3f}",
        ", ".join(f"{percent} % of the weight in {count:,.0f} slots" for percent, count in parts),
    ]


def _slots(slots) -> list[str]:
    features = list(slots[0]["readers"])
    rows = [["slot", "row", "column", "share", "length", *(f"{name} (share)" for name in features)]]
    for slot in slots:
        cells = [f"{slot['slot']}", f"{slot['row']}", f"{slot['column']}"]
        cells += [f"{100 * slot['share']:.2f} %", f"{slot['value_norm']:.2f}"]
        cells += [_readers(slot["readers"].get(name, ())) for name in features]
        rows.append(cells)
    return aligned(rows)


def _readers(readers) -> str:
    return ", ".join(f"{reader['value']} {100 * reader['share']:.0f} %" for reader in readers)


def draw_memory(inspection: MemoryInspection, path: str | os.PathLike) -> None:
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
    cells = slot_grid(inspection.reads, inspection.num_keys)
    with np.errstate(divide="ignore"):
        log_share = np.log10(cells / max(cells.sum(), 1e-300))
    image = grid.imshow(np.ma.masked_invalid(log_share), cmap="viridis", interpolation="nearest")
    grid.set_facecolor("white")
    figure.colorbar(image, ax=grid, label="share of weight, log10")
    grid.set(xlabel="column key", ylabel="row key", title="weight by key; white: never read")
    read = inspection.reads > 0
    for selected, label in ((read, "read"), (~read, "not read")):
        if selected.any():
            lengths.hist(inspection.value_norms[selected], bins=40, alpha=0.6, label=label)
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
