"""Report of the values of memories of pairs, as text and as pictures."""

import numpy as np
from matplotlib.figure import Figure

from lmn_tf.training.evaluation.metrics_table import aligned
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.pairs.pair_inspection import PairInspection, inspect_pairs
from lmn_tf.training.inspection.view import View, new_figure, short_label, signed_bars

_MOST_BARS = 12


def pair_view(run: InspectedRun, top: int = 10) -> View:
    """Returns what the memories of pairs of a run hold, and how its rows read them.

    Args:
        run: `InspectedRun`.
        top: Integer. Number of pairs to show of each sign. Defaults to `10`.
    """
    inspections = inspect_pairs(run)
    memories = {inspection.name: inspection.figures(top) for inspection in inspections}
    report = {**run.heading, "pairs": memories}
    pictures = {one.name: draw_pairs(one, memories[one.name]) for one in inspections}
    return View("inspect", report, pair_text(report), pictures)


def pair_text(report: dict) -> str:
    """Formats the figures of memories of pairs as text.

    Args:
        report: `{"model", "pairs": {name: figures}}` with figures of `PairInspection`.

    Returns:
        String: for each memory its use, its values by reads, and one line for each of the pairs
        with the largest and the smallest values.
    """
    lines = []
    for name, memory in report["pairs"].items():
        lines += [*([""] if lines else []), f"{report['model']}: {name}", *_use(memory)]
        lines += ["", *_by_reads(memory["by_reads"])]
        for kind in ("largest", "smallest"):
            if memory[kind]:
                lines += ["", f"{kind} values:", *_pairs(memory[kind])]
    return "\n".join(lines)


def _use(memory) -> list[str]:
    size, rows, columns = (memory[key] for key in ("memory_size", "num_rows", "num_columns"))
    hashed = ", hashed" if size < rows * columns else ""
    return [
        f"{size:,} slots ({rows:,} events x {columns:,} candidates{hashed}), "
        f"{memory['reads']:,} reads of {memory['pairs_read']:,} pairs",
        f"slots never read: {memory['never_read']:.1f} %, with a value of 0: "
        f"{memory['zero_values']:.1f} %; norm of all values: {memory['norm']:.3f}",
    ]


def _by_reads(groups) -> list[str]:
    rows = [["reads", "slots", "mean length", "largest"]]
    for group in groups:
        lengths = (f"{group[key]:.4f}" for key in ("mean_length", "largest_length"))
        rows.append([_range(group), f"{group['slots']:,}", *lengths])
    return aligned(rows)


def _range(group) -> str:
    if group["to"] is None:
        return f"{group['from']:,} or more"
    one = group["from"] == group["to"]
    return f"{group['from']}" if one else f"{group['from']} to {group['to']}"


def _pairs(pairs) -> list[str]:
    rows = [["value", "event", "candidate", "reads"]]
    for pair in pairs:
        others = pair.get("other_pairs")
        rest = f" (with {others:,} other pairs)" if others else ""
        rows.append(
            [f"{pair['value']:+.4f}", pair["event"], pair["candidate"], f"{pair['reads']:,}{rest}"]
        )
    return aligned(rows)


def draw_pairs(inspection: PairInspection, figures: dict) -> Figure:
    """Draws a memory of pairs: its values, their lengths by reads, and its extreme pairs.

    Args:
        inspection: A `PairInspection`.
        figures: Its `figures`.

    Returns:
        Matplotlib figure.
    """
    half = _MOST_BARS // 2
    bars = figures["largest"][:half] + figures["smallest"][:half][::-1]
    figure = new_figure(
        3.9 + 0.25 * len(bars),
        f"{inspection.name}: {figures['never_read']:.1f} % of {figures['memory_size']:,} slots "
        f"never read, norm {figures['norm']:.2f}",
    )
    grid = figure.add_gridspec(2, 2, height_ratios=[3.2, 0.7 + 0.25 * len(bars)])
    _draw_values(figure.add_subplot(grid[0, 0]), inspection)
    _draw_groups(figure.add_subplot(grid[0, 1]), figures["by_reads"])
    axes = figure.add_subplot(grid[1, :])
    axes.set_title("Pairs with the largest and the smallest values (number of reads)", fontsize=10)
    axes.set_xlabel("value")
    signed_bars(axes, [pair["value"] for pair in bars])
    names = (f"{short_label(one['event'])} → {short_label(one['candidate'])}" for one in bars)
    labels = [f"{name} ({one['reads']:,})" for name, one in zip(names, bars, strict=True)]
    axes.set_yticks(range(len(bars)), labels)
    axes.invert_yaxis()
    return figure


def _draw_values(axes, inspection) -> None:
    read = inspection.reads > 0
    bins = np.histogram_bin_edges(inspection.values, 30)
    for selected, label in ((read, "read"), (~read, "not read")):
        if selected.any():
            values = inspection.values[selected]
            counts, _ = np.histogram(values, bins)
            axes.stairs(counts, bins, fill=True, alpha=0.6, label=f"{label}: {len(values):,}")
    axes.set(xlabel="value", ylabel="slots", yscale="log")
    axes.set_title("Values", fontsize=10)
    axes.legend(fontsize=8)


def _draw_groups(axes, groups) -> None:
    places = range(len(groups))
    axes.bar(places, [group["mean_length"] for group in groups], color="tab:blue", alpha=0.75)
    for place, group in enumerate(groups):
        axes.annotate(
            f"{group['slots']:,}",
            (place, group["mean_length"]),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set_xticks(places, [_range(group) for group in groups], fontsize=8)
    axes.margins(y=0.15)
    axes.set(xlabel="reads of the slot", ylabel="mean length of value")
    axes.set_title("Values by number of reads (slots)", fontsize=10)
