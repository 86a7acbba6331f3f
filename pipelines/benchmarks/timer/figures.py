"""Medians, ratios and targets of a case."""

import statistics


def summarise(runners, turns, ratio):
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
            first = times
            continue
        pairs = zip(first, times, strict=True)
        row["ratio"] = spread([a / b if ratio == "speed" else b / a for a, b in pairs])
        for sign, target in ((1, contender.at_least), (-1, contender.at_most)):
            if target is not None:
                met = sign * row["ratio"]["median"] >= sign * target
                row["target"] = {"at_least" if sign > 0 else "at_most": target, "met": met}


def spread(numbers):
    """Median and quartiles of a list of numbers."""
    quartiles = [numbers[0]] * 3
    if len(numbers) > 1:
        quartiles = statistics.quantiles(numbers, n=4, method="inclusive")
    return {"median": statistics.median(numbers), "q1": quartiles[0], "q3": quartiles[2]}
