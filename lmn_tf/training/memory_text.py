"""What `lmn-tf inspect` found, as text."""

from lmn_tf.training.metrics_table import aligned


def memory_text(report: dict) -> str:
    """Lays out the figures of memories for a person.

    Args:
        report: `{"model", "memories": {name: figures}}`, figures as of `MemoryInspection`.

    Returns:
        Lines of text: for each memory its use, then one line for each of its most read slots.
    """
    lines = []
    for name, one in report["memories"].items():
        lines += [*([""] if lines else []), f"{report['model']}: {name}", *_use(one)]
        lines += ["", *_slots(one["top_slots"])] if one["top_slots"] else []
    return "\n".join(lines)


def _use(one) -> list[str]:
    size = one["memory_size"]
    if not one["top_slots"]:
        return [f"{size:,} slots, none of which was read"]
    closed = f", {one['closed_slots']:,} closed" if one["closed_slots"] else ""
    parts = [(50, one["slots_for_50"]), (90, one["slots_for_90"]), (99, one["slots_for_99"])]
    return [
        f"{size:,} slots ({one['num_keys']} x {one['num_keys']} keys) read by "
        f"{one['queries']:,} queries",
        f"slots used: {one['slots_used']:.1f} %, dead: {one['dead_slots']:,}{closed}",
        f"KL from even use: {one['memory_kl']:.3f} (one slot only: "
        f"{one['memory_kl_largest']:.3f}), gini {one['gini']:.3f}",
        ", ".join(f"{percent} % of the weight in {count:,.0f} slots" for percent, count in parts),
    ]


def _slots(slots) -> list[str]:
    features = list(slots[0]["readers"])
    rows = [["slot", "row", "column", "share", "length", *(f"{name} (share)" for name in features)]]
    for one in slots:
        cells = [f"{one['slot']}", f"{one['row']}", f"{one['column']}"]
        cells += [f"{100 * one['share']:.2f} %", f"{one['value_norm']:.2f}"]
        cells += [_readers(one["readers"].get(name, ())) for name in features]
        rows.append(cells)
    return aligned(rows)


def _readers(found) -> str:
    return ", ".join(f"{reader['value']} {100 * reader['share']:.0f} %" for reader in found)
