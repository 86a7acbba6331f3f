"""Report of the use of memories, as text and as pictures."""

import numpy as np
from matplotlib.figure import Figure

from lmn_tf.callbacks.slot_grid import slot_grid
from lmn_tf.training.evaluation.metrics_table import aligned
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_inspection import MemoryInspection, inspect_memories
from lmn_tf.training.inspection.view import View, new_figure, percent, reader_text, short_label

_MOST_BARS = 12
_BARS = "Most read slots; of each feature the largest reader: share of the slot (x lift)"


def memory_view(run: InspectedRun, top: int = 10) -> View:
    """Returns how the rows of a run read its memories.

    Args:
        run: `InspectedRun`.
        top: Integer. Number of slots to show. Defaults to `10`.
    """
    inspections = inspect_memories(run.evaluator, run.spec, run.dataset(), top)
    memories = {inspection.name: inspection.figures() for inspection in inspections}
    report = {**run.heading, "memories": memories}
    pictures = {inspection.name: draw_memory(inspection) for inspection in inspections}
    return View("inspect", report, memory_text(report), pictures)


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
        lines += ["", *slot_table(memory["top_slots"])] if memory["top_slots"] else []
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
        _regions(memory["dead_regions"]),
    ]


def _regions(regions) -> str:
    opened = regions["open_keys"]
    text = f"keys without reads: {regions['dead_rows']} of {opened} rows, "
    text += f"{regions['dead_columns']} of {opened} columns"
    if regions["rectangle"] is None:
        return text
    return f"{text}; {_rectangle(regions)}"


def _rectangle(regions) -> str:
    found = regions["rectangle"]
    rows, columns = (
        f"{found[f'first_{axis}']}-{found[f'last_{axis}']}" for axis in ("row", "column")
    )
    return (
        f"largest unread rectangle: rows {rows}, columns {columns}, {found['slots']:,} slots "
        f"({regions['rectangle_by_chance']:,} by chance)"
    )


def slot_table(slots: list[dict], extra: dict[str, list[str]] | None = None) -> list[str]:
    """Formats slots and their readers as lines with aligned columns.

    Args:
        slots: List of dictionaries as in `MemoryInspection.slots`.
        extra: Dictionary from the title of a further column to its cells. Defaults to `None`.
    """
    extra = extra or {}
    features = list(dict.fromkeys(name for slot in slots for name in slot["readers"]))
    titles = ["slot", "row", "column", "share", "length", *extra]
    rows = [[*titles, *(f"{name} (share, lift)" for name in features)]]
    for place, slot in enumerate(slots):
        cells = [f"{slot['slot']}", f"{slot['row']}", f"{slot['column']}"]
        cells += [f"{100 * slot['share']:.2f} %", f"{slot['value_norm']:.2f}"]
        cells += [column[place] for column in extra.values()]
        cells += [reader_text(slot["readers"].get(name, ())) for name in features]
        rows.append(cells)
    return aligned(rows)


def draw_memory(inspection: MemoryInspection) -> Figure:
    """Draws a memory: how few slots serve the reads, where they are, their values and readers.

    Args:
        inspection: A `MemoryInspection`.

    Returns:
        Matplotlib figure.
    """
    figures = inspection.figures()
    used = "no slot read"
    if inspection.slots:
        used = f"{figures['slots_used']:.1f} % of {len(inspection.reads):,} slots read"
        used += f" by {inspection.queries:,} queries"
    bars = inspection.slots[:_MOST_BARS]
    figure = new_figure(3.9 + 0.25 * len(bars), f"{inspection.name}: {used}")
    grid = figure.add_gridspec(
        2, 3, height_ratios=[3.2, 0.7 + 0.25 * len(bars)], width_ratios=[1, 1.25, 0.9]
    )
    _draw_shares(figure.add_subplot(grid[0, 0]), inspection, figures)
    _draw_grid(figure.add_subplot(grid[0, 1]), inspection, figures["dead_regions"])
    _draw_lengths(figure.add_subplot(grid[0, 2]), inspection)
    draw_slots(figure.add_subplot(grid[1, :]), bars, _BARS)
    return figure


def _draw_shares(axes, inspection, figures) -> None:
    share = np.sort(inspection.reads)[::-1] / max(inspection.reads.sum(), 1e-300)
    ranks, size = np.arange(1, len(share) + 1), len(share)
    axes.semilogx(ranks, 100 * np.cumsum(share), label="this memory")
    axes.semilogx(ranks, 100 * ranks / size, "--", color="gray", label="even use")
    for level in (50, 90) if inspection.slots else ():
        count = figures[f"slots_for_{level}"]
        axes.plot(count, level, "o", color="tab:blue")
        axes.annotate(
            f"{level} %: {count:,.0f}",
            (count, level),
            xytext=(-5, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    axes.set(xlabel="slots, the most read first", ylabel="share of all reads (%)")
    axes.set_title("How few slots serve the reads", fontsize=10)
    axes.legend(fontsize=8, loc="lower right")


def _draw_grid(axes, inspection, regions) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    cells = slot_grid(inspection.reads, inspection.num_keys)
    cells = np.ma.masked_equal(100 * cells / max(cells.sum(), 1e-300), 0)
    keys = len(cells) * -(-inspection.num_keys // len(cells))  # the last cells may be cut
    axes.set_title("Where: reads by key (white: none)", fontsize=10)
    axes.set(xlabel="column key", ylabel="row key")
    image = axes.imshow(
        cells,
        cmap="viridis",
        norm=LogNorm() if inspection.slots else None,
        interpolation="nearest",
        extent=(-0.5, keys - 0.5, keys - 0.5, -0.5),
    )
    if inspection.slots:
        axes.figure.colorbar(image, ax=axes, label="share of all reads (%)", shrink=0.8)
    found = regions["rectangle"]
    if found is not None and inspection.slots:
        corner = (found["first_column"] - 0.5, found["first_row"] - 0.5)
        width = found["last_column"] - found["first_column"] + 1
        height = found["last_row"] - found["first_row"] + 1
        axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor="red", linewidth=1.5))
        axes.set_xlabel(
            f"column key\nred: largest unread rectangle, {found['slots']:,} slots\n"
            f"({regions['rectangle_by_chance']:,} by chance); "
            f"unread: {regions['dead_rows']} rows, {regions['dead_columns']} columns",
            fontsize=8,
        )


def _draw_lengths(axes, inspection) -> None:
    read = inspection.reads > 0
    for selected, label in ((read, "read"), (~read, "not read")):
        if selected.any():
            lengths = inspection.value_norms[selected]
            axes.hist(lengths, bins=30, alpha=0.6, label=f"{label}: {selected.sum():,}")
    axes.set(xlabel="length of value", ylabel="slots")
    axes.set_title("Lengths of the values", fontsize=10)
    axes.legend(fontsize=8)


def draw_slots(axes: object, slots: list[dict], title: str) -> None:
    """Draws the shares of slots as bars, with the largest reader of each feature beside them.

    Args:
        axes: Matplotlib axes.
        slots: List of dictionaries as in `MemoryInspection.slots`.
        title: String.
    """
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("share of all reads (%)")
    places = range(len(slots))
    axes.barh(places, [100 * slot["share"] for slot in slots], color="tab:blue")
    axes.set_yticks(places, [f"{slot['slot']}" for slot in slots])
    axes.set_ylabel("slot")
    axes.invert_yaxis()
    axes.margins(x=1.2)  # place for the readers
    axes.set_xlim(left=0)
    for place, slot in enumerate(slots):
        readers = [
            f"{name} {short_label(found[0]['value'])}: {percent(found[0]['share'])} "
            f"(x{found[0]['lift']:.1f})"
            for name, found in slot["readers"].items()
        ]
        axes.annotate(
            "   ".join(readers),
            (100 * slot["share"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
