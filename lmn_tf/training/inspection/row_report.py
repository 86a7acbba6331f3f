"""Report of the slots that a row reads and of its score without them, as text and as pictures."""

from matplotlib.figure import Figure

from lmn_tf.training.evaluation.metrics_table import aligned
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.row_slots import row_slots
from lmn_tf.training.inspection.view import (
    View,
    new_figure,
    percent,
    reader_text,
    short_label,
    signed_bars,
)


def row_view(run: InspectedRun, user: str, item: str, top: int = 10) -> View:
    """Returns what the score of the row of a user and an item owes to slots.

    Args:
        run: `InspectedRun`.
        user: String. Name of a user in the data.
        item: String. Name of an item in the data.
        top: Integer. Number of slots to show. Defaults to `10`.
    """
    report = {**run.heading, "user": user, "item": item, **row_slots(run, user, item, top)}
    pictures = {name: draw_row(name, report) for name in report["memories"]}
    return View(f"row_{user}_{item}", report, row_text(report), pictures)


def row_text(report: dict) -> str:
    """Formats the slots that a row reads as text.

    Args:
        report: `{"model", "user", "item"}` and the result of `row_slots`.

    Returns:
        String: the score, for each memory the score without it, then one line for each slot.
    """
    lines = row_opening(report)
    for name, memory in report["memories"].items():
        lines += ["", _opening(name, memory)]
        if memory["top_slots"]:
            lines.append(without_all(report, memory))
            lines += ["", *_table(report, memory["top_slots"])]
    return "\n".join(lines)


def row_opening(report: dict) -> list[str]:
    """Returns the lines that tell a row and its score.

    Args:
        report: `{"model", "user", "item", "rows", "label", "logit", "probability"}`.
    """
    rows = f" (the last of {report['rows']} rows)" if report["rows"] > 1 else ""
    return [
        f"{report['model']}: user {report['user']}, item {report['item']}{rows}",
        f"{report['label']}: {_score(report)}",
    ]


def without_all(report: dict, memory: dict) -> str:
    """Returns the line that tells the score of a row without what it reads of a memory.

    Args:
        report: As of `row_opening`.
        memory: `{"without": {"logit", "probability"}}`.
    """
    without = memory["without"]
    return f"without all of them: {_score(without)}, change {_change(report, without)}"


def _opening(name, memory) -> str:
    return f"{name}: {memory['reads']:,} reads of {memory['slots']:,} slots"


def _score(score) -> str:
    return f"probability {score['probability']:.4f}, logit {score['logit']:.4f}"


def _change(before, after) -> str:
    return (
        f"{after['probability'] - before['probability']:+.4f}, "
        f"{after['logit'] - before['logit']:+.4f}"
    )


def _table(report, slots) -> list[str]:
    titles = ["slot", "row", "column", "share", "change of probability, logit without it"]
    rows = [[*titles, "items (share)"]]
    for slot in slots:
        rows.append(
            [
                f"{slot['slot']}",
                f"{slot['row']}",
                f"{slot['column']}",
                percent(slot["share"]),
                _change(report, slot["without"]),
                reader_text(slot["items"]),
            ]
        )
    return aligned(rows)


def draw_row(name: str, report: dict) -> Figure:
    """Draws the slots that a row reads, and how the logit changes without them.

    Args:
        name: String. Name of the memory.
        report: As of `row_text`.

    Returns:
        Matplotlib figure.
    """
    memory = report["memories"][name]
    slots, without = memory["top_slots"], memory["without"]
    figure = new_figure(
        2.1 + 0.32 * max(len(slots), 2),
        f"{name}: user {report['user']}, item {report['item']}, probability of {report['label']} "
        f"{report['probability']:.3f}\nwithout the {memory['slots']:,} slots that are read: "
        f"{without['probability']:.3f} (logit {report['logit']:.2f} → {without['logit']:.2f})",
    )
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(1, len(slots) + 1)
    shares = [100 * slot["share"] for slot in slots]
    left.barh(places, shares, color="tab:blue", alpha=0.75)
    left.set_xlim(0, 2.3 * max(shares, default=1))
    left.set_xlabel("share of the row's reads (%), with the items that read")
    left.set_title("Slots that the row reads", fontsize=10)
    for place, slot, share in zip(places, slots, shares, strict=True):
        left.annotate(
            short_label(reader_text(slot["items"][:2])),
            (share, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    changes = [one["logit"] - report["logit"] for one in (without, *(s["without"] for s in slots))]
    signed_bars(right, changes)
    right.set_xlabel("change of the logit without the slot")
    right.set_title("Score without them (red: lower)", fontsize=10)
    labels = [f"all {memory['slots']:,}", *(f"{slot['slot']}" for slot in slots)]
    left.set_yticks(range(len(labels)), labels)
    left.set_ylabel("slot, the most read first")
    left.invert_yaxis()
    return figure
