"""Table of a comparison: numbers and Markdown."""

import statistics
from collections.abc import Mapping, Sequence

from lmn_tf.metrics.figures import SLOTS, Figure, own_figures, select
from lmn_tf.metrics.relative_improvement import rela_impr
from lmn_tf.models import registry
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.grid import named_value
from lmn_tf.training.comparison.curve_report import curve_markdown
from lmn_tf.training.comparison.diagnostics_report import diagnostics_markdown
from lmn_tf.training.comparison.paired_tests import LEAST, comparisons_text, correct, paired_t_test
from lmn_tf.training.comparison.search_report import search_markdown
from lmn_tf.training.comparison.spread import paired_values, spread, spread_cell
from lmn_tf.training.evaluation.metrics_table import markdown_table

_QUALITY = select("auc", "gauc", "logloss", "normalized_entropy")
_COST = select("parameters", "examples_per_second", "peak_memory_mib")


def summary(
    spec: ComparisonSpec,
    seeds: Sequence[int],
    metrics: dict,
    oracle: dict | None = None,
    search: dict | None = None,
    failed: Sequence[Mapping] = (),
    pending: Sequence[str] = (),
) -> dict:
    """Summarizes the metrics of all runs.

    Args:
        spec: A `ComparisonSpec`.
        seeds: The seeds.
        metrics: Contents of `metrics.json` by label and seed, without failed runs.
        oracle: Best possible metrics on the data, if known. Defaults to `None`.
        search: Result of `search_summary`. Defaults to `None`.
        failed: Mappings that describe failed runs. Defaults to `()`.
        pending: Names of runs that are still to come. Defaults to `()`.

    Returns:
        Dictionary of `name`, `base`, `seeds`, `set`, `oracle`, `search`, `failed`, `pending`,
        `baselines` (model names of rows without a network, by label) and `models`:
        for each label its `seeds`, the mean, standard deviation and values of each figure,
        `rela_impr` (percent, from the mean AUC over the seeds that the base has, too), and two
        paired t-tests of AUC over common seeds: `test` against the base, and `best_other` against
        the best other model, named in `label`.
        Each of the two is corrected for the number of its comparisons (`correct`).
    """
    runs = [run for runs_of_model in metrics.values() for run in runs_of_model.values()]
    which = "test" if all("test" in run for run in runs) else "valid"
    models = {label: _model(runs_of_model, which) for label, runs_of_model in metrics.items()}
    base = models.get(spec.base_label)
    for label, model in models.items():
        model["rela_impr"] = _rela_impr(model, base)
        if label != spec.base_label:
            model["test"] = _test(model, base, len(seeds))
        model["best_other"] = _best_other(label, models, len(seeds))
    correct([(label, model["test"]) for label, model in models.items() if model.get("test")])
    others = [(label, model["best_other"]) for label, model in models.items()]
    # The best model and the second best one are compared with each other: one comparison.
    correct([(frozenset((label, test["label"])), test) for label, test in others if test])
    return {
        "name": spec.name,
        "base": spec.base_label,
        "seeds": list(seeds),
        "set": which,
        "oracle": oracle,
        "search": search,
        "failed": list(failed),
        "pending": list(pending),
        "baselines": {
            entry.label: entry.model["name"]
            for entry in spec.models
            if registry.is_baseline(entry.model["name"])
        },
        "models": models,
    }


def markdown(result: dict) -> str:
    """Formats a summary as Markdown."""
    own = own_figures(result["models"].values())
    known = [figure for figure in (*_QUALITY, *_COST, *SLOTS) if _is_known(result, figure.name)]
    columns = [
        *(figure for figure in known if figure in _QUALITY),
        *own,
        *(figure for figure in known if figure not in _QUALITY),
    ]
    titles = ["model", *(figure.heading for figure in columns)]
    titles[2:2] = ["RelaImpr (%)", "against the base", "against the best other"]
    rows = []
    for label, model in result["models"].items():
        cells = [_cell(model, figure, is_own=figure in own) for figure in columns]
        other = model.get("best_other")
        cells[1:1] = [
            _percent(model["rela_impr"]),
            _verdict(model.get("test")),
            "-" if other is None else f"{other['label']}: {_verdict(other)}",
        ]
        rows.append([label, *cells])
    lines = [f"# {result['name']}", "", *_warning(result), _opening(result), ""]
    lines += [*markdown_table(titles, rows), ""] if rows else []
    lines += _notes(result)
    if result.get("diagnostics"):
        lines += diagnostics_markdown(result)
    if result.get("curve"):
        lines += curve_markdown(result["curve"], result["base"])
    if result.get("search"):
        lines += search_markdown(result["search"])
    return "\n".join(lines)


def _opening(result: dict) -> str:
    """Sentences above the table, or in its place if no run of its value is finished."""
    if not result["models"]:
        return f"No run is finished{_of_value(result, ' with ')}."
    return (
        f"Figures of the {result['set']} set over {seeds_text(result)}"
        + (", mean ± standard deviation" if max(_seed_counts(result)) > 1 else "")
        + f"; base: {result['base']}{_of_value(result)}.{_correction(result)}{_fitted(result)}"
    )


def _cell(model: dict, figure: Figure, is_own: bool) -> str:
    # A metric of a user may have the name of a built-in figure.
    spreads = model.get("metrics", {}) if is_own else model
    return spread_cell(spreads.get(figure.name), figure)


def seeds_text(result: dict) -> str:
    """Returns how many seeds the figures of networks are of, and of how many that are planned.

    Args:
        result: Result of `summary`.

    Example:

    >>> seeds_text({"seeds": [1, 2, 3], "models": {"lmn": {"seeds": [1, 2]}}})
    '2 of 3 seeds'
    """
    planned, counts = len(result["seeds"]), _seed_counts(result)
    text = f"{planned} seed{'s' * (planned > 1)}"
    if min(counts) == planned:
        return text
    if min(counts) == max(counts):
        return f"{min(counts)} of {text}"
    return f"{min(counts)} to {max(counts)} of {text}"


def _seed_counts(result: dict) -> set[int]:
    """Numbers of seeds of networks, or of all models: other rows have all seeds at once.

    It is 0 where no run of the table is finished, but one of another value of an option.
    """
    models, baselines = result["models"], result.get("baselines", {})
    networks = [model for name, model in models.items() if name not in baselines]
    return {len(model["seeds"]) for model in networks or models.values()} or {0}


def _correction(result: dict) -> str:
    """Sentence on the p of both columns, if there are any."""
    columns = {"the base": "test", "the best other": "best_other"}
    counts = {
        other: comparisons_text(model.get(name) for model in result["models"].values())
        for other, name in columns.items()
    }
    words = " and ".join(f"{count} with {other}" for other, count in counts.items() if count)
    return f" p of paired t tests, corrected for {words} (Holm)." if words else ""


def _fitted(result: dict) -> str:
    """Sentence on the rows whose weights have seen the labels of the table, if there are any."""
    labels = [label for label in result.get("fitted", ()) if label in result["models"]]
    if not labels:
        return ""
    *others, last = labels
    names = f"{', '.join(others)} and {last}" if others else last
    return (
        f" Without a test set, weights of {names} are fitted to the labels that they are measured "
        "on, which makes them look better than they are."
    )


def _of_value(result: dict, before: str = "; ") -> str:
    """Words that name the value of the varied option, if there is one."""
    curve = result.get("curve")
    return before + named_value(curve["key"], curve["points"][-1]["value"]) if curve else ""


def _warning(result: dict):
    """Lines that say so if no network beats the rates of items and users."""
    baselines = result.get("baselines", {})  # results of earlier versions have none
    means = {
        name: model["auc"]["mean"] for name, model in result["models"].items() if "auc" in model
    }
    rates = {name: auc for name, auc in means.items() if baselines.get(name) == "rates"}
    networks = {name: auc for name, auc in means.items() if name not in baselines}
    if not rates or not networks or max(networks.values()) > max(rates.values()):
        return
    best, base = max(networks, key=networks.get), max(rates, key=rates.get)
    yield (
        f"**No network beats the rates of items and users**: the best one, {best}, has an AUC of "
        f"{networks[best]:.4f}, and `{base}` {rates[base]:.4f}. This table does not show what "
        "networks learn from histories."
    )
    yield ""


def _notes(result: dict):
    """Lines below the table."""
    seeds, pending = result["seeds"], result.get("pending", [])
    if pending:
        yield (
            f"**Unfinished**: {len(pending)} run{'s are' if len(pending) > 1 else ' is'} still to "
            f"come, beginning with {pending[0]}."
        )
        yield ""
    if result["oracle"] and result["oracle"].get("auc") is not None:
        yield (
            f"The best possible AUC on these generated data is {result['oracle']['auc']:.4f} "
            "(the true probabilities)."
        )
        yield ""
    if len(seeds) < 2:
        yield (
            "One seed cannot tell a difference from chance: one below "
            f"{LEAST} AUC means nothing, a larger one is a hint. Use two or more."
        )
        yield ""
    for label, model in result["models"].items():
        count = len(model["seeds"])
        if count < len(seeds) and _seed_counts(result) != {count}:
            yield f"{label} has {count} of the {len(seeds)} seeds."
            yield ""
    if result["failed"]:
        yield "Runs that failed:"
        yield ""
        for run in result["failed"]:
            yield f"- {run['folder']}: {run['reason']}"
        yield ""


def _model(runs: dict, which: str) -> dict:
    results = list(runs.values())
    model = {"seeds": list(runs)}
    for figure in _QUALITY:
        model[figure.name] = spread([run[which].get(figure.name) for run in results])
    own = own_figures(run[which] for run in results)
    if own:
        model["metrics"] = {
            figure.name: spread([run[which]["metrics"].get(figure.name) for run in results])
            for figure in own
        }
    for figure in SLOTS:
        used = [(run[which].get("memory") or {}).get(figure.name) for run in results]
        model[figure.name] = spread(used)
    model["parameters"] = spread([run.get("parameters") for run in results])
    train = [run["train"] for run in results]
    model["examples_per_second"] = spread([summary.get("examples_per_second") for summary in train])
    model["peak_memory_mib"] = spread([summary.get("peak_rss_mib") for summary in train])
    return {key: value for key, value in model.items() if value is not None}


def _rela_impr(model: dict, base: dict | None) -> float | None:
    """Relative improvement of AUC over common seeds; `None` if the base is at chance there."""
    values, of_base = _paired_aucs(model, base)
    if not values or statistics.fmean(of_base) <= 0.5:
        return None
    return rela_impr(statistics.fmean(values), statistics.fmean(of_base))


def _test(model: dict, base: dict | None, planned: int) -> dict | None:
    """Paired test over common seeds; one of several planned ones decides nothing."""
    values, of_base = _paired_aucs(model, base)
    if not values:
        return None
    test = paired_t_test(values, of_base)
    return {**test, "verdict": "inconclusive"} if len(values) < min(planned, 2) else test


def _paired_aucs(model: dict, base: dict | None) -> tuple[list[float], list[float]]:
    if base is None or "auc" not in model or "auc" not in base:
        return [], []
    return paired_values(model["auc"], model["seeds"], base["auc"], base["seeds"])


def _best_other(label: str, models: dict, planned: int) -> dict | None:
    """Paired test against the best of the other models."""
    others = {name: model["auc"]["mean"] for name, model in models.items() if "auc" in model}
    others.pop(label, None)
    best = max(others, key=others.get, default=None)
    test = None if best is None else _test(models[label], models[best], planned)
    return None if test is None else {"label": best, **test}


def _is_known(result: dict, key: str) -> bool:
    return key == "auc" or any(key in model for model in result["models"].values())


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


def _verdict(test: dict | None) -> str:
    if test is None:
        return "-"
    if test["p"] is None:
        if test["seeds"] < 2:
            return f"{test['verdict']} (one seed)"
        return f"{test['verdict']} (by {test['difference']:+.4f} in each seed)"
    p = test["p_corrected"]
    p = f"= {p:.3f}" if p >= 0.0005 else "< 0.001"
    return f"{test['verdict']} (p {p})"
