"""Picture of a learning curve: AUC by the value of an option, and differences from the base."""

import os

from lmn_tf.specs.grid import ROWS
from lmn_tf.training.comparison.comparison_picture import half_interval
from lmn_tf.training.picture_text import picture_text

_WIDE = 3.0  # from this ratio of the largest value to the smallest, the axis is logarithmic


def curve_picture(result: dict, path: str | os.PathLike) -> None:
    """Draws the AUC of each model, and its difference from that of the base, against an option.

    Points are means over seeds with their 95 % intervals by Student's distribution; differences are
    those of runs with the same seed. A model without the option has the same AUC for each value.

    Args:
        result: The content of `comparison.json`, with a `curve`.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    curve, base = result["curve"], result["base"]
    places, names = _places(curve)
    figure = Figure(figsize=(9, 4.2), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    labels = dict.fromkeys(label for point in curve["points"] for label in point["models"])
    for number, label in enumerate(labels):
        models = [point["models"].get(label, {}) for point in curve["points"]]
        style = {"color": f"C{number % 10}", "marker": "osD^v"[number // 10 % 5]}
        style["label"] = picture_text(label)
        _draw(left, places, [_auc(model) for model in models], style)
        if label != base:
            _draw(right, places, [_difference(model) for model in models], style)
    right.axhline(0, color="black", linewidth=1)
    counts = [
        len(model["auc"]["values"])
        for point in curve["points"]
        for model in point["models"].values()
        if model.get("auc") is not None
    ]
    note = "95 % intervals" if max(counts, default=1) > 1 else "one seed: no intervals"
    left.set(title="AUC", ylabel=f"AUC of the {result['set']} set ({note})")
    right.set(title=picture_text(f"Difference from {base}"), ylabel="difference of AUC by seed")
    for axes in (left, right):
        if min(places) > 0 and max(places) / min(places) >= _WIDE:
            axes.set_xscale("log")
        axes.set_xticks(places, [picture_text(name) for name in names])
        axes.minorticks_off()
        axes.set_xlabel("training rows" if "rows" in curve["points"][0] else f"`{curve['key']}`")
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
    figure.suptitle(picture_text(result["name"]))
    figure.savefig(path)


def _places(curve) -> tuple[list[float], list[str]]:
    """Returns the place of each value on the axis, and its name."""
    points = curve["points"]
    rows = [point.get("rows") for point in points]
    if curve["key"] == ROWS and all(rows):
        names = [
            f"{point['value']}\n{count:,}" if isinstance(point["value"], str) else f"{count:,}"
            for point, count in zip(points, rows, strict=True)
        ]
        return rows, names
    values = [point["value"] for point in points]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return values, [f"{value:g}" for value in values]
    return list(range(len(values))), [str(value) for value in values]


def _draw(axes, places, spreads, style) -> None:
    """Draws the means that there are, with their intervals."""
    known = [
        (place, *spread)
        for place, spread in zip(places, spreads, strict=True)
        if spread is not None
    ]
    if known:
        at, means, halves = zip(*known, strict=True)
        halves = [half or 0 for half in halves]
        axes.errorbar(at, means, yerr=halves, capsize=3, markersize=5, linewidth=1.2, **style)


def _auc(model) -> tuple[float, float | None] | None:
    auc = model.get("auc")
    if auc is None:
        return None
    return auc["mean"], half_interval(auc["sd"], len(auc["values"]))


def _difference(model) -> tuple[float, float | None] | None:
    test = model.get("test")
    if test is None:
        return None
    return test["difference"], half_interval(test["deviation"], test["seeds"])
