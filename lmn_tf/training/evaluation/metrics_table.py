"""Metrics of a run as text."""

from lmn_tf.metrics.figures import QUALITY, SLOTS, own_figures, select

_COLUMNS = (*QUALITY, *select("examples"))
_MOST_DAYS = 31


def markdown_table(titles: list[str], rows: list[list[str]], padded: bool = True) -> list[str]:
    """Formats a table as Markdown.

    Args:
        titles: Titles of the columns.
        rows: Cells of each row.
        padded: Boolean. Whether columns are aligned in the source as well. If `False`, a change of
            a cell changes a single line. Defaults to `True`.

    Returns:
        Lines of text.

    Example:

    >>> print("\\n".join(markdown_table(["model", "AUC"], [["lmn", "0.7"], ["dnn", "-"]])))
    | model | AUC |
    | ----- | --- |
    | lmn   | 0.7 |
    | dnn   | -   |
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [0] * len(titles)
    rule = ["---"] * len(titles)
    if padded:
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        rule = ["-" * width for width in widths]
    return [f"| {' | '.join(_padded(row, widths))} |" for row in (titles, rule, *rows)]


def metrics_table(metrics: dict) -> str:
    """Formats the content of `metrics.json` as text.

    Args:
        metrics: The content of `metrics.json`.

    Returns:
        String: the speed of training, then one row for each evaluated set, including the last 31
        days of a run over days.

    Example:

    >>> figures = {"auc": 0.75, "logloss": 0.5, "examples": 1200}
    >>> print(metrics_table({"model": "lmn", "seed": 1, "test": figures}))
    model lmn, seed 1
    set   AUC     LogLoss  examples
    test  0.7500  0.5000   1,200
    """
    lines = [", ".join(_opening(metrics))]
    sets = {day["day"]: day["before"] for day in metrics.get("days", [])[-_MOST_DAYS:]}
    sets |= {name: metrics[name] for name in ("progressive", "valid", "test") if name in metrics}
    if sets:
        rows = [dict(_cells(figures)) for figures in sets.values()]
        columns = (*QUALITY, *own_figures(sets.values()), *select("examples"), *SLOTS)
        known = [figure for figure in columns if any(figure in row for row in rows)]
        table = [["set", *(figure.title for figure in known)]]
        table += [
            [name, *(row.get(figure, "-") for figure in known)]
            for name, row in zip(sets, rows, strict=True)
        ]
        lines += aligned(table)
    return "\n".join(lines)


def aligned(rows: list[list[str]]) -> list[str]:
    """Returns rows of cells as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths)).rstrip() for row in rows]


def _padded(row, widths):
    return [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]


def _opening(metrics: dict):
    yield f"model {metrics['model']}"
    yield f"seed {metrics['seed']}"
    if "parameters" in metrics:
        yield f"{metrics['parameters']:,} parameters"
    train = metrics.get("train")
    if not train:
        return
    if "steps" in train:
        yield f"{train['steps']:,} steps"
        yield f"{train['examples_per_second']:,.0f} examples/s"
        yield f"input wait {100 * train['input_wait']:.0f} %"
    else:  # without a network
        yield f"{train['examples']:,} rows in {train['seconds']:,.1f} s"
    yield f"peak memory {train['peak_memory_mib']:,.0f} MiB"


def _cells(figures: dict):
    memory = figures.get("memory") or {}
    own = own_figures([figures]), figures.get("metrics", {})
    for columns, source in ((_COLUMNS, figures), own, (SLOTS, memory)):
        for figure in columns:
            if figure.name in source:
                value = source[figure.name]
                unit = f" {figure.unit}" if figure.unit and value is not None else ""
                yield figure, figure.cell(value) + unit
