"""Medians, ratios and targets of a case."""

import statistics


def summarize(runners, turns, ratio):
    """Adds median, quartiles, ratio and target to the row of each contender.

    Args:
        runners: List of (runner, `Contender`, row).
        turns: Mapping from `id(row)` to the seconds per step of each turn.
        ratio: `"speed"` or `"time"`.
    """
    first = None
    for _, contender, row in runners:
        times = turns[id(row)]
        if "failed" in row or not times:
            continue
        row["turns"] = times
        row["seconds"] = spread(times)
        if row.get("examples"):
            row["examples_per_second"] = row["examples"] / row["seconds"]["median"]
        if first is None:
            first = row
            continue
        row["ratio"] = spread(_ratios(first, row, ratio))
        for sign, target in ((1, contender.at_least), (-1, contender.at_most)):
            if target is not None:
                met = sign * row["ratio"]["median"] >= sign * target
                row["target"] = {"at_least" if sign > 0 else "at_most": target, "met": met}


def _ratios(first, row, ratio):
    """Ratios turn by turn: of examples per second, if both rows have their number."""
    share = 1.0
    if first.get("examples") and row.get("examples"):
        share = row["examples"] / first["examples"]
    speeds = [share * a / b for a, b in zip(first["turns"], row["turns"], strict=True)]
    return speeds if ratio == "speed" else [1.0 / speed for speed in speeds]


def spread(numbers):
    """Median and quartiles of a list of numbers."""
    quartiles = [numbers[0]] * 3
    if len(numbers) > 1:
        quartiles = statistics.quantiles(numbers, n=4, method="inclusive")
    return {"median": statistics.median(numbers), "q1": quartiles[0], "q3": quartiles[2]}
