"""Learning curve of a comparison: numbers and Markdown."""

import copy
from collections.abc import Mapping, Sequence

from lmn_tf.metrics.figures import FIGURES
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.grid import ROWS, named_value
from lmn_tf.training.comparison.paired_tests import comparisons_text, correct
from lmn_tf.training.comparison.spread import spread_cell
from lmn_tf.training.evaluation.metrics_table import markdown_table

_AUC = FIGURES["auc"]


def curve_summary(
    spec: ComparisonSpec, summaries: Sequence[Mapping], metrics: Sequence[Mapping]
) -> dict | None:
    """Summarizes the results of a comparison by the value of the option that it varies.

    Args:
        spec: A `ComparisonSpec`.
        summaries: Result of `summary` for each value.
        metrics: Contents of `metrics.json` by label and seed, for each value.

    Returns:
        Dictionary of the `key` and its `points`: for each value the `value`, the number of training
        `rows` if these are varied, and for each label the `seeds`, `auc` and `test` of the table,
        but corrected for the comparisons of all values: who looks for the value from which a
        model is better looks at all of them. `None` if the comparison varies no option.
    """
    key, values = spec.varied
    if key is None:
        return None
    points = []
    for value, result, of_value in zip(values, summaries, metrics, strict=True):
        point = {"value": value}
        if key == ROWS:
            point["rows"] = _rows(of_value)
        point["models"] = {
            label: {name: copy.copy(model.get(name)) for name in ("seeds", "auc", "test")}
            for label, model in result["models"].items()
        }
        points.append(point)
    tests = [(label, model["test"]) for point in points for label, model in point["models"].items()]
    # A model and a base without the option have the same runs for each value: one comparison.
    correct([((label, test["p"]), test) for label, test in tests if test])
    return {"key": key, "points": points}


def _rows(metrics) -> int | None:
    """Returns the number of training rows of the runs, if they tell it."""
    trained = [run["train"] for runs in metrics.values() for run in runs.values()]
    return max((train["rows"] for train in trained if "rows" in train), default=None)


def curve_markdown(curve: Mapping, base: str) -> list[str]:
    """Formats a learning curve as lines of Markdown: AUC, and its difference from the base.

    Args:
        curve: Result of `curve_summary`.
        base: Label of the model that others are compared with.
    """
    key, points = curve["key"], curve["points"]
    labels = list(dict.fromkeys(label for point in points for label in point["models"]))
    titles = ["model", *(_title(key, point) for point in points)]
    rows = [[label, *(_auc(point["models"].get(label)) for point in points)] for label in labels]
    lines = [f"## AUC by `{key}`", "", *markdown_table(titles, rows), ""]
    rows = [
        [label, *(_difference(point["models"].get(label)) for point in points)]
        for label in labels
        if label != base
    ]
    tests = [model["test"] for point in points for model in point["models"].values()]
    count = comparisons_text(tests)
    verdicts = f"; verdicts of paired t tests, corrected for {count} (Holm)" if count else ""
    lines += [f"Difference from {base}, of runs with the same seed{verdicts}:", ""]
    return [*lines, *markdown_table(titles, rows), ""]


def _title(key, point):
    rows = point.get("rows")
    name = named_value(key, point["value"])
    return name if rows is None else f"{name} ({rows:,} rows)"


def _auc(model):
    return spread_cell(None if model is None else model["auc"], _AUC)


def _difference(model):
    test = None if model is None else model["test"]
    if test is None:
        return "-"
    text, deviation = f"{test['difference']:+.4f}", test["deviation"]
    text += f" ± {_AUC.cell(deviation)}" if deviation else ""
    return f"{text} ({test['verdict']})"
