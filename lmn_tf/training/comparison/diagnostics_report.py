"""Diagnostics of a comparison: numbers and Markdown."""

import statistics
from collections.abc import Mapping

from lmn_tf.metrics.figures import DIAGNOSTICS, FIGURES
from lmn_tf.training.comparison.spread import paired_values, spread, spread_cell
from lmn_tf.training.evaluation.metrics_table import markdown_table

_AUC = FIGURES["auc"]
_SHUFFLED, _ZEROED = DIAGNOSTICS[:2]
_BOUNDS = ("from", "to", "rows")
_ORDINALS = ("first", "second", "third", "fourth")


def diagnostics_summary(metrics: Mapping[str, Mapping[int, Mapping]]) -> dict | None:
    """Summarizes the diagnostics of all runs.

    Args:
        metrics: Contents of `metrics.json` by label and seed.

    Returns:
        Dictionary of `memory` (for each label of a model with a memory, the mean, standard
        deviation and values of each figure), `quartiles` (smallest and largest support, and number
        of rows of each; `None`, `None` and the most rows where runs differ, as they do if the seed
        draws the training rows) and `support` (for each label, the same of the AUC of each
        quartile). What a run has not diagnosed is left out; `None` if none has any.
    """
    memory, quartiles, support = {}, set(), {}
    for label, runs in metrics.items():
        found = [run.get("diagnostics", {}) for run in runs.values()]
        if all("memory" in one for one in found):
            memory[label] = {
                figure.name: spread([one["memory"].get(figure.name) for one in found])
                for figure in DIAGNOSTICS
            }
        if all("support" in one for one in found):
            support[label] = [
                spread([quartile["auc"] for quartile in of_runs])
                for of_runs in zip(*(one["support"] for one in found), strict=True)
            ]
            quartiles |= {_bounds(one["support"]) for one in found}
    if not memory and not support:
        return None
    common = [_common(of_runs) for of_runs in zip(*quartiles, strict=True)]
    return {"memory": memory, "quartiles": common, "support": support}


def _bounds(support):
    return tuple(tuple(quartile[key] for key in _BOUNDS) for quartile in support)


def _common(of_runs) -> dict:
    """Returns the bounds of a quartile in runs; no bounds, and the most rows, if they differ."""
    if len(set(of_runs)) == 1:
        return dict(zip(_BOUNDS, of_runs[0], strict=True))
    return {"from": None, "to": None, "rows": max(rows for _, _, rows in of_runs)}


def diagnostics_markdown(result: Mapping) -> list[str]:
    """Formats the diagnostics of a comparison as lines of Markdown.

    Args:
        result: The content of `comparison.json`, with `diagnostics`.
    """
    lines = ["## Diagnostics", ""]
    if result["diagnostics"]["memory"]:
        lines += _memory_lines(result)
    if result["diagnostics"]["support"]:
        lines += _support_lines(result)
    return lines


def _memory_lines(result):
    memory = result["diagnostics"]["memory"]
    known = [
        figure
        for figure in DIAGNOSTICS
        if any(figures[figure.name] is not None for figures in memory.values())
    ]
    rows = []
    for label, figures in memory.items():
        auc = result["models"][label].get("auc")
        cells = [spread_cell(figures[figure.name], figure) for figure in known]
        for index, figure in enumerate(known):
            if figure in (_SHUFFLED, _ZEROED):
                seeds = result["models"][label]["seeds"]
                cells[index] += _difference(figures[figure.name], seeds, auc, seeds)
        rows.append([label, spread_cell(auc, _AUC), *cells])
    titles = ["model", "AUC", *(figure.heading for figure in known)]
    return [
        "What a model owes to its memory: the AUC of the same weights with the values of the slots "
        "that are read permuted among them, and with all values set to 0. Reads are those of the "
        "test set.",
        "",
        *markdown_table(titles, rows),
        "",
    ]


def _support_lines(result):
    found, base = result["diagnostics"], result["base"]
    seeds = {label: model["seeds"] for label, model in result["models"].items()}
    of_base = found["support"].get(base) or [None] * len(found["quartiles"])
    kept = [index for index, quartile in enumerate(found["quartiles"]) if quartile["rows"]]
    titles = ["model", *_titles(found["quartiles"], kept)]
    rows = []
    for label, aucs in found["support"].items():
        cells = [spread_cell(aucs[index], _AUC) for index in kept]
        for place, index in enumerate(kept if label != base else ()):
            cells[place] += _difference(aucs[index], seeds[label], of_base[index], seeds.get(base))
        rows.append([label, *cells])
    return [
        "AUC by the support of (history, candidate) pairs: the number of training histories that "
        "have both, summed over the items of the row's history, in quartiles of rows; in brackets, "
        f"the difference from {base}.",
        "",
        *markdown_table(titles, rows),
        "",
    ]


def _titles(quartiles, kept) -> list[str]:
    if any(quartiles[index]["from"] is None for index in kept):  # the runs have no common bounds
        return [f"{_ORDINALS[index]} quartile" for index in kept]
    total = sum(quartile["rows"] for quartile in quartiles)
    return [_title(quartiles[index], total) for index in kept]


def _title(quartile, total):
    low, high = quartile["from"], quartile["to"]
    name = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"support {name} ({100 * quartile['rows'] / total:.0f} % of rows)"


def _difference(spread, seeds, base, base_seeds):
    """Returns the difference of the means over common seeds, as part of a cell."""
    if spread is None or base is None:
        return ""
    values, of_base = paired_values(spread, seeds, base, base_seeds)
    if not values:
        return ""
    return f" ({statistics.fmean(values) - statistics.fmean(of_base):+.4f})"
