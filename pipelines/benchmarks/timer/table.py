"""The result of a benchmark as Markdown."""

from lmn_tf.training.evaluation.metrics_table import markdown_table

_QUIET = 0.05  # allowed share of other processes in the machine's time


def markdown(result):
    """The result of a benchmark as Markdown."""
    machine, versions = result["machine"], result["versions"]
    lines = [f"# {result['name']}", "", result["description"], ""]
    if result["quick"]:
        lines += ["Tiny sizes (`--quick`): these times mean nothing.", ""]
    lines += [f"    {result['command']}", ""]
    rows = [cells(case, row) for case in result["cases"] for row in case["contenders"]]
    lines += _table(rows)
    lines += ["", *(f"- {note}" for note in result["notes"])] if result["notes"] else []
    lines += [
        "",
        f"{result['date'][:10]}, {machine['cores']} cores of {machine['processor']}; "
        f"{_others(machine['share_of_others'])}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
        + ".",
        "",
        "Median and quartiles over turns; ratios to the first contender of the case, computed turn "
        "by turn; peak memory of the process of a contender, when it was built and in all.",
    ]
    return "\n".join(lines) + "\n"


def _others(share):
    """Share of other processes, with a warning if it is large."""
    if share is None:
        return "the load by other processes is unknown"
    text = f"other processes used {share:.0%} of its time"
    return text if share < _QUIET else f"{text}: too much for reliable times"


def cells(case, row):
    """One row of the table, as a mapping from column to text."""
    line = {"case": case["case"], "contender": row["contender"]}
    for kind in ("skipped", "failed"):
        if kind in row:
            return {**line, "ms": row[kind] if kind == "skipped" else f"failed: {row[kind]}"}
    if "seconds" in row:
        line["ms"] = _number(1000 * row["seconds"]["median"])
        line["ms quartiles"] = _range(row["seconds"], 1000)
    if "examples_per_second" in row:
        line["examples/s"] = f"{row['examples_per_second']:,.0f}"
    if "ratio" in row:
        line[f"{case['ratio']} ×"] = f"{row['ratio']['median']:.2f}"
        line[f"{case['ratio']} × quartiles"] = _range(row["ratio"], 1, "{:.2f}")
    if "target" in row:
        sign = "≥" if "at_least" in row["target"] else "≤"
        target = row["target"].get("at_least", row["target"].get("at_most"))
        line["target"] = f"{sign} {target:g} {'met' if row['target']['met'] else 'missed'}"
    for key in ("built", "peak"):
        if f"{key}_mib" in row:
            line[f"{key} MiB"] = f"{row[f'{key}_mib']:,.0f}"
    if "difference" in row:
        line["output differs by"] = f"{row['difference']:.1e}"
    for name, value in row.get("facts", {}).items():
        line[name] = _number(value)
    return line


def _table(rows):
    columns = {name: None for row in rows for name in row}
    # Common columns first, then facts and targets in order of appearance.
    usual = ("case", "contender", "ms", "ms quartiles", "examples/s")
    columns = [*(c for c in usual if c in columns), *(c for c in columns if c not in usual)]
    return markdown_table(columns, [[row.get(name, "") for name in columns] for row in rows])


def _range(spread, factor, form=None):
    low, high = spread["q1"] * factor, spread["q3"] * factor
    return " - ".join(form.format(x) if form else _number(x) for x in (low, high))


def _number(value):
    """A number with about three digits; other values as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
