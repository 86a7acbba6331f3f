"""Report of what the events of a row add to its logit, as text and as pictures."""

from matplotlib.figure import Figure

from lmn_tf.training.evaluation.metrics_table import aligned
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.pairs.row_pairs import row_pairs
from lmn_tf.training.inspection.row_report import row_opening, without_all
from lmn_tf.training.inspection.view import View, new_figure, short_label, signed_bars


def row_pair_view(run: InspectedRun, user: str, item: str, top: int = 10) -> View:
    """Returns what the score of the row of a user and an item owes to memories of pairs.

    Args:
        run: `InspectedRun`.
        user: String. Name of a user in the data.
        item: String. Name of an item in the data.
        top: Integer. Number of events to show. Defaults to `10`.
    """
    report = {**run.heading, "user": user, "item": item, **row_pairs(run, user, item, top)}
    pictures = {name: draw_row_pairs(name, report) for name in report["pairs"]}
    return View(f"row_{user}_{item}", report, row_pair_text(report), pictures)


def row_pair_text(report: dict) -> str:
    """Formats what the events of a row add to its logit as text.

    Args:
        report: `{"model", "user", "item"}` and the result of `row_pairs`.

    Returns:
        String: the score, for each memory the score without it, then one line for each event.
    """
    lines = row_opening(report)
    for name, memory in report["pairs"].items():
        lines += ["", f"{name}: {_known(memory)}"]
        if memory["top_events"]:
            rows = [["event", "times", "value", "added to the logit"]]
            rows += [
                [one["event"], f"{one['times']}", f"{one['value']:+.4f}", f"{one['adds']:+.4f}"]
                for one in memory["top_events"]
            ]
            lines += [without_all(report, memory), "", *aligned(rows)]
    return "\n".join(lines)


def _known(memory) -> str:
    return f"{memory['known']:,} of {memory['events']:,} events have a value for the item"


def draw_row_pairs(name: str, report: dict) -> Figure:
    """Draws what each event of a row adds to its logit.

    Args:
        name: String. Name of the memory.
        report: As of `row_pair_text`.

    Returns:
        Matplotlib figure.
    """
    memory = report["pairs"][name]
    events, without = memory["top_events"], memory["without"]
    figure = new_figure(
        2.1 + 0.32 * max(len(events), 2),
        f"{name}: user {report['user']}, item {report['item']}, probability of {report['label']} "
        f"{report['probability']:.3f}\nwithout the memory: {without['probability']:.3f} "
        f"(logit {report['logit']:.2f} → {without['logit']:.2f}); {_known(memory)}",
    )
    axes = figure.subplots()
    signed_bars(axes, [one["adds"] for one in events])
    labels = [
        short_label(one["event"]) + (f" ({one['times']} times)" if one["times"] > 1 else "")
        for one in events
    ]
    axes.set_yticks(range(len(events)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("added to the logit")
    axes.set_title("Events of the history, by what they change", fontsize=10)
    return figure
