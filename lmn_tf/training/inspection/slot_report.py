"""Report of one slot, its readers and its neighbors, as text and as pictures."""

from matplotlib.figure import Figure

from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_report import slot_table
from lmn_tf.training.inspection.slot_neighbors import slot_neighbors
from lmn_tf.training.inspection.view import View, new_figure, percent, short_label

_MOST_FEATURES = 3
_KINDS = {
    "by_value": "nearest values, of slots that are read",
    "by_key": "nearest keys",
}


def slot_view(run: InspectedRun, slot: int, top: int = 10) -> View:
    """Returns who reads a slot, and the slots that are like it.

    Args:
        run: `InspectedRun`.
        slot: Integer. A slot, of each memory.
        top: Integer. Number of neighbors to show of each kind. Defaults to `10`.
    """
    report = {**run.heading, "slot": slot, "memories": slot_neighbors(run, slot, top)}
    pictures = {name: draw_slot(name, memory) for name, memory in report["memories"].items()}
    return View(f"slot_{slot}", report, slot_text(report), pictures)


def slot_text(report: dict) -> str:
    """Formats a slot, its readers and its neighbors as text.

    Args:
        report: `{"model", "memories": {name: figures}}` with figures of `slot_neighbors`.

    Returns:
        String: for each memory the slot and its neighbors, with a line for each.
    """
    lines = []
    for name, memory in report["memories"].items():
        lines += [*([""] if lines else []), f"{report['model']}: {name}, {_place(memory)}"]
        lines += ["", *slot_table([memory["slot"]])]
        for kind, title in _KINDS.items():
            if memory[kind]:
                cosines = [f"{one['cosine']:.3f}" for one in memory[kind]]
                lines += ["", f"{title}:", *slot_table(memory[kind], {"cosine": cosines})]
    return "\n".join(lines)


def _place(memory) -> str:
    slot = memory["slot"]
    read = f"{percent(slot['share'])} of the reads" if slot["share"] else "never read"
    return f"slot {slot['slot']} (row {slot['row']}, column {slot['column']}): {read}"


def draw_slot(name: str, memory: dict) -> Figure:
    """Draws the readers of a slot by feature, and the slots that are like it.

    Args:
        name: String. Name of the memory.
        memory: Figures of `slot_neighbors` of the memory.

    Returns:
        Matplotlib figure.
    """
    readers = list(memory["slot"]["readers"].items())[:_MOST_FEATURES]
    neighbors = max(len(memory["by_value"]), len(memory["by_key"]), 2)
    lines = max((len(found) for _, found in readers), default=0)
    heights = [0.6 + 0.3 * lines] * bool(readers) + [1.0 + 0.25 * neighbors]
    figure = new_figure(0.5 + sum(heights), f"{name}, {_place(memory)}")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if readers:
        axes = parts[0].subplots(1, len(readers), squeeze=False)[0]
        for one, (feature, found) in zip(axes, readers, strict=True):
            _draw_readers(one, feature, found)
    axes = parts[-1].subplots(1, 2)
    for one, (kind, title) in zip(axes, _KINDS.items(), strict=True):
        _draw_neighbors(one, memory[kind], title)
    return figure


def _draw_readers(axes, feature, readers) -> None:
    places = range(len(readers))
    axes.barh(places, [100 * one["share"] for one in readers], color="tab:blue", alpha=0.75)
    axes.set_yticks(places, [short_label(one["value"]) for one in readers])
    axes.invert_yaxis()
    axes.margins(x=0.35)
    axes.set_xlim(left=0)
    axes.set_title(f"Who reads it: {feature}", fontsize=10)
    axes.set_xlabel("share of the slot's reads (%), lift")
    for place, one in enumerate(readers):
        axes.annotate(
            f"x{one['lift']:.1f}",
            (100 * one["share"], place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )


def _draw_neighbors(axes, neighbors, title) -> None:
    places = range(len(neighbors))
    colors = ["tab:blue" if one["share"] else "lightgray" for one in neighbors]
    axes.barh(places, [one["cosine"] for one in neighbors], color=colors, alpha=0.75)
    axes.set_yticks(places, [f"{one['slot']}" for one in neighbors])
    axes.invert_yaxis()
    axes.set_xlim(min([0, *(one["cosine"] for one in neighbors)]), 1.9)
    axes.set_xticks([0, 0.5, 1])
    axes.set_xlabel("cosine (gray: never read)")
    axes.set_ylabel("slot")
    axes.set_title(title[0].upper() + title[1:], fontsize=10)
    for place, one in enumerate(neighbors):
        largest = [
            f"{name} {found[0]['value']}: {percent(found[0]['share'])}"
            for name, found in one["readers"].items()
        ]
        axes.annotate(
            short_label(largest[0]) if largest else "",
            (max(one["cosine"], 0), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
