"""The table of a comparison: numbers, Markdown, picture."""

import statistics

from lmn_tf.training.paired_test import paired_t_test

_FIGURES = ("auc", "gauc", "logloss", "normalized_entropy")
_MEMORY = ("slots_used", "memory_kl", "slots_for_90")
_COLUMNS = (
    ("auc", "AUC", 4),
    ("gauc", "GAUC", 4),
    ("logloss", "LogLoss", 4),
    ("normalized_entropy", "NE", 4),
    ("parameters", "parameters", 0),
    ("examples_per_second", "examples/s", 0),
    ("slots_used", "slots used (%)", 1),
    ("memory_kl", "KL", 3),
    ("slots_for_90", "slots for 90 %", 0),
)


def summary(spec, seeds, metrics: dict, oracle: dict | None = None) -> dict:
    """Puts the metrics of all runs together.

    Args:
        spec: A `ComparisonSpec`.
        seeds: The seeds, in the order of the runs.
        metrics: Contents of `metrics.json` by label, one for each seed.
        oracle: What the data tell of the best possible result. Defaults to `None`.

    Returns:
        Dictionary of `name`, `base`, `seeds`, `set`, `oracle` and `models`: for each label the
        mean, standard deviation and values of each figure, `rela_impr` (per cent, from mean AUC)
        and `test`, the paired t-test of the AUC against the base.
    """
    which = "test" if all("test" in run for runs in metrics.values() for run in runs) else "valid"
    models = {label: _model(runs, which) for label, runs in metrics.items()}
    base = models[spec.base_label]
    for label, model in models.items():
        model["rela_impr"] = _rela_impr(model, base)
        if label != spec.base_label:
            model["test"] = _test(model, base)
    return {
        "name": spec.name,
        "base": spec.base_label,
        "seeds": list(seeds),
        "set": which,
        "oracle": oracle,
        "models": models,
    }


def markdown(result: dict) -> str:
    """Lays a summary out as Markdown."""
    columns = [column for column in _COLUMNS if _is_known(result, column[0])]
    titles = ["model", *(title for _, title, _ in columns)]
    titles[2:2] = ["RelaImpr (%)", "against the base"]
    rows = []
    for label, model in result["models"].items():
        cells = [_cell(model.get(key), digits) for key, _, digits in columns]
        cells[1:1] = [_percent(model["rela_impr"]), _verdict(model.get("test"))]
        rows.append([label, *cells])
    seeds = result["seeds"]
    lines = [f"# {result['name']}", ""]
    lines.append(
        f"Figures of the {result['set']} set over {len(seeds)} seed{'s' * (len(seeds) > 1)}"
        + (", mean ± standard deviation" if len(seeds) > 1 else "")
        + f"; base: {result['base']}."
    )
    lines += ["", *_table(titles, rows), ""]
    if result["oracle"] and result["oracle"].get("auc") is not None:
        lines += [
            f"The best possible AUC on these generated data is {result['oracle']['auc']:.4f} "
            "(the true probabilities).",
            "",
        ]
    if len(seeds) < 2:
        lines += ["One seed cannot tell a difference from chance: use two or more.", ""]
    return "\n".join(lines)


def picture(result: dict, path) -> None:
    """Draws the AUC of each model, a dot for each seed and a bar for the mean."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    labels = list(result["models"])
    figure = Figure(figsize=(2 + 1.2 * len(labels), 4), layout="constrained")
    axes = figure.subplots()
    for place, model in enumerate(result["models"].values()):
        auc = model.get("auc")
        if auc is None:
            continue
        axes.plot([place - 0.25, place + 0.25], [auc["mean"]] * 2, color="black", linewidth=2)
        axes.plot([place] * len(auc["values"]), auc["values"], "o", color="tab:blue", alpha=0.6)
    oracle = (result["oracle"] or {}).get("auc")
    if oracle is not None:
        axes.axhline(oracle, linestyle="--", color="gray", linewidth=1)
        axes.annotate("best possible", (0, oracle), va="bottom", color="gray")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylabel(f"AUC ({result['set']})")
    axes.set_title(result["name"])
    figure.savefig(path, dpi=150)


def _model(runs: list, which: str) -> dict:
    model = {}
    for key in _FIGURES:
        model[key] = _spread([run[which].get(key) for run in runs])
    for key in _MEMORY:
        model[key] = _spread([(run[which].get("memory") or {}).get(key) for run in runs])
    model["parameters"] = _spread([run.get("parameters") for run in runs])
    model["examples_per_second"] = _spread([run["train"]["examples_per_second"] for run in runs])
    return {key: value for key, value in model.items() if value is not None}


def _spread(values: list) -> dict | None:
    if any(value is None for value in values):
        return None
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "sd": spread, "values": values}


def _rela_impr(model: dict, base: dict) -> float | None:
    """Relative improvement of the AUC above chance; None where the base is at chance."""
    if "auc" not in model or "auc" not in base or base["auc"]["mean"] <= 0.5:
        return None
    return ((model["auc"]["mean"] - 0.5) / (base["auc"]["mean"] - 0.5) - 1) * 100


def _test(model: dict, base: dict) -> dict | None:
    if "auc" not in model or "auc" not in base:
        return None
    return paired_t_test(model["auc"]["values"], base["auc"]["values"])


def _is_known(result: dict, key: str) -> bool:
    return key == "auc" or any(key in model for model in result["models"].values())


def _cell(spread: dict | None, digits: int) -> str:
    if spread is None:
        return "-"
    text = f"{spread['mean']:,.{digits}f}"
    return text if not spread["sd"] else f"{text} ± {spread['sd']:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _verdict(test: dict | None) -> str:
    if test is None:
        return "-"
    if test["p"] is None:
        return "inconclusive (one seed)" if test["seeds"] < 2 else "inconclusive (no spread)"
    return f"{test['verdict']} (p = {test['p']:.3f})"


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[index]) for row in [titles, *rows]) for index in range(len(titles))]

    def line(cells):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    return [line(titles), line(["-" * width for width in widths]), *map(line, rows)]
