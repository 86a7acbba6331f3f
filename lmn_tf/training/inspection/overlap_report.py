"""Report of the slots that two users share, as text and as pictures."""

from matplotlib.figure import Figure

from lmn_tf.training.evaluation.metrics_table import aligned
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.user_overlap import user_overlap
from lmn_tf.training.inspection.view import View, new_figure, percent, reader_text, short_label


def overlap_view(run: InspectedRun, users: tuple[str, str], top: int = 10) -> View:
    """Returns what two users share in the memories of a run.

    Args:
        run: `InspectedRun`.
        users: Pair of strings. Names of users in the data.
        top: Integer. Number of slots to show. Defaults to `10`.
    """
    report = {**run.heading, "users": list(users), "memories": user_overlap(run, users, top)}
    pictures = {
        name: draw_overlap(name, users, memory) for name, memory in report["memories"].items()
    }
    return View(f"users_{users[0]}_{users[1]}", report, overlap_text(report), pictures)


def overlap_text(report: dict) -> str:
    """Formats the slots that two users share as text.

    Args:
        report: `{"model", "users", "memories": {name: figures}}` with figures of `user_overlap`.

    Returns:
        String: for each memory the overlap, then one line for each of the slots.
    """
    one, other = report["users"]
    lines = []
    for name, memory in report["memories"].items():
        lines += [*([""] if lines else []), f"{report['model']}: {name}"]
        lines += [
            f"user {user}: {rows:,} rows read {slots:,} slots"
            for user, rows, slots in zip(
                report["users"], memory["rows"], memory["slots"], strict=True
            )
        ]
        lines.append(f"shared: {memory['shared_slots']:,} slots; {_overlap(memory)}")
        if memory["top_slots"]:
            lines += ["", *_table(one, other, memory["top_slots"])]
    return "\n".join(lines)


def _overlap(memory) -> str:
    text = f"weighted Jaccard index {memory['jaccard']:.3f}"
    if memory["jaccard_of_others"] is not None:
        text += (
            f" (median of either user and others: {memory['jaccard_of_others']:.3f}, "
            f"{memory['others']} pairs)"
        )
    return text


def _table(one, other, slots) -> list[str]:
    items = [f"items of {user} (share)" for user in (one, other)]
    rows = [["slot", "row", "column", one, other, *items]]
    for slot in slots:
        rows.append(
            [
                f"{slot['slot']}",
                f"{slot['row']}",
                f"{slot['column']}",
                *(percent(share) for share in slot["shares"]),
                *(reader_text(items) for items in slot["items"]),
            ]
        )
    return aligned(rows)


def draw_overlap(name: str, users: tuple[str, str], memory: dict) -> Figure:
    """Draws the slots that two users share, one user to the left and one to the right.

    Args:
        name: String. Name of the memory.
        users: Pair of strings.
        memory: Figures of `user_overlap` of the memory.

    Returns:
        Matplotlib figure.
    """
    slots = memory["top_slots"]
    title = f"{name}: {memory['shared_slots']:,} slots that users {users[0]} and {users[1]} share"
    figure = new_figure(1.9 + 0.32 * max(len(slots), 2), f"{title}\n{_overlap(memory)}")
    left, right = figure.subplots(1, 2, sharey=True)
    largest = max((share for slot in slots for share in slot["shares"]), default=0.01)
    for side, (axes, user) in enumerate(zip((left, right), users, strict=True)):
        shares = [100 * slot["shares"][side] for slot in slots]
        color = ("tab:blue", "tab:orange")[side]
        axes.barh(range(len(slots)), shares, color=color, alpha=0.75)
        axes.set_xlabel("share of the user's reads (%), with the items that read")
        axes.set_title(
            f"user {short_label(user)}: {memory['rows'][side]:,} rows, "
            f"{memory['slots'][side]:,} slots",
            fontsize=10,
        )
        axes.set_xlim(0, 230 * largest)
        for place, slot in enumerate(slots):
            axes.annotate(
                short_label(reader_text(slot["items"][side][:2])),
                (shares[place], place),
                xytext=(-4, 0) if side == 0 else (4, 0),
                textcoords="offset points",
                ha="right" if side == 0 else "left",
                va="center",
                fontsize=8,
            )
    left.invert_xaxis()
    left.invert_yaxis()
    left.set_yticks(range(len(slots)), [f"{slot['slot']}" for slot in slots])
    left.set_ylabel("slot, the largest common share first")
    return figure
