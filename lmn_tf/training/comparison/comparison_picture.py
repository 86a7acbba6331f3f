"""Picture of a comparison: AUC by model, and paired differences from the base."""

import math
import os

from scipy import special

from lmn_tf.training.comparison.comparison_report import seeds_text
from lmn_tf.training.comparison.paired_tests import LEAST
from lmn_tf.training.comparison.spread import paired_values
from lmn_tf.training.picture_text import picture_text

_LEVEL = 0.05
_COLORS = {"better": "tab:green", "worse": "tab:red"}


def t_quantile(freedom: int) -> float:
    """Returns the value that Student's |T| exceeds with probability 0.05.

    Args:
        freedom: Integer. Degrees of freedom.

    Example:

    >>> round(t_quantile(2), 3)
    4.303
    """
    return float(special.stdtrit(freedom, 1 - _LEVEL / 2))


def half_interval(deviation: float | None, count: int) -> float | None:
    """Returns half the width of the 95 % interval of a mean; `None` for a single value.

    Args:
        deviation: Standard deviation of the values, or `None`.
        count: Integer. Number of values.

    Example:

    >>> round(half_interval(0.01, 3), 4), half_interval(None, 1)
    (0.0248, None)
    """
    if deviation is None or count < 2:
        return None
    return t_quantile(count - 1) * deviation / math.sqrt(count)


def picture(result: dict, path: str | os.PathLike) -> None:
    """Draws the AUC of each model, and its difference from that of the base with the same seeds.

    Models are sorted by their mean AUC. Both sides show a dot for each seed (or pair of runs with
    the same seed), the mean, and its 95 % interval over seeds by Student's distribution.

    Args:
        result: The content of `comparison.json`.
        path: PNG file to write.
    """
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    models = {label: model for label, model in result["models"].items() if "auc" in model}
    models = dict(sorted(models.items(), key=lambda item: item[1]["auc"]["mean"]))
    height = 1.9 + 0.42 * max(len(models), 2)
    figure = Figure(figsize=(8, height), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row, model in enumerate(models.values()):
        auc, test = model["auc"], model.get("test")
        interval = half_interval(auc["sd"], len(auc["values"]))
        _draw_row(left, row, auc["values"], auc["mean"], interval, "tab:blue")
        if test is not None:
            base = models[result["base"]]
            values = paired_values(auc, model["seeds"], base["auc"], base["seeds"])
            differences = [value - other for value, other in zip(*values, strict=True)]
            interval = half_interval(test["deviation"], test["seeds"])
            color = _COLORS.get(test["verdict"], "gray")
            _draw_row(right, row, differences, test["difference"], interval, color)
    _label(left, right, models, result)
    figure.suptitle(picture_text(f"{result['name']}: {seeds_text(result)}"))
    figure.savefig(path)


def _draw_row(axes, row, values, mean, interval, color) -> None:
    axes.plot(values, [row] * len(values), "o", color=color, alpha=0.35, markersize=5, zorder=2)
    axes.errorbar(mean, row, xerr=interval, fmt="D", color=color, capsize=4, markersize=6, zorder=3)


def _label(left, right, models, result) -> None:
    base = result["base"]
    oracle = (result["oracle"] or {}).get("auc")
    if oracle is not None:
        left.axvline(oracle, linestyle="--", color="gray", linewidth=1)
        left.annotate(
            "best possible ",
            (oracle, 0.02),
            xycoords=("data", "axes fraction"),
            ha="right",
            color="gray",
        )
    left.set_yticks(range(len(models)), [picture_text(label) for label in models])
    left.set_ylim(-0.6, len(models) - 0.4)
    right.axvline(0, color="black", linewidth=1)
    has_intervals = any(len(model["auc"]["values"]) > 1 for model in models.values())
    note = "mean and 95 % interval" if has_intervals else "one seed: no interval"
    left.set(xlabel=f"AUC of the {result['set']} set ({note})", title="AUC")
    title = f"Difference from {base}" if base in models else f"{base} has no result"
    right.set(
        xlabel=f"difference of AUC by seed{_rule(models)}",
        title=picture_text(title),
    )
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.locator_params(axis="x", nbins=5)  # labels that do not overlap
        axes.xaxis.label.set_size(8)


def _rule(models) -> str:
    """Returns what a green or a red difference means, in brackets."""
    tests = [model["test"] for model in models.values() if model.get("test") is not None]
    if any(test.get("p_corrected") is not None for test in tests):
        return f" (green, red: corrected p < {_LEVEL})"
    seeds = [test["seeds"] for test in tests if test["verdict"] in _COLORS]
    if not seeds:
        return ""
    rule = "the same in each seed" if max(seeds) > 1 else f"{LEAST} or more"
    return f" (green, red: {rule})"
