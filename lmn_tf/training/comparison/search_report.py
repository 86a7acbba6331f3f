"""Report of the search of a comparison: numbers and Markdown."""

import json
import math

from lmn_tf.metrics.figures import FIGURES, MONITORED
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.grid import size
from lmn_tf.training.comparison.comparison_checks import model_grid
from lmn_tf.training.evaluation.metrics_table import markdown_table


def best_trial(scores: dict, monitor: str) -> int | None:
    """Returns the trial with the best validation result.

    Args:
        scores: Validation figures by trial; `None` for failed trials.
        monitor: `"auc"`, `"gauc"` or `"logloss"` (lower is better).

    Returns:
        Number of the trial, the first among equals, or `None` if no trial has the figure.

    Example:

    >>> best_trial({1: {"auc": 0.70}, 2: None, 3: {"auc": 0.72}, 4: {"auc": 0.72}}, "auc")
    3
    """
    sign = -1 if FIGURES[monitor].smaller_is_better else 1
    known = {
        trial: sign * figures[monitor]
        for trial, figures in scores.items()
        if figures and figures.get(monitor) is not None and math.isfinite(figures[monitor])
    }
    return max(known, key=known.get, default=None)


def search_summary(spec: ComparisonSpec, trials: dict, chosen: dict) -> dict:
    """Summarizes the trials of a search.

    Args:
        spec: A `ComparisonSpec` with a `search`.
        trials: By label, pairs of a configuration and its validation figures (`None` if it failed)
            in the order of the trials.
        chosen: Number of the chosen trial by label, without models that have none.

    Returns:
        Dictionary of `trials`, `seed`, `monitor` and `models`: for each label the number of
        `configurations` in its grid, the number of the `chosen` trial, its `configuration`, and
        all `trials` with their validation figures.
    """
    models = {}
    for entry in spec.models:
        trials_of_model = trials[entry.label]
        best = chosen.get(entry.label)
        models[entry.label] = {
            "configurations": size(model_grid(spec, entry)),
            "chosen": best,
            "configuration": None if best is None else trials_of_model[best - 1][0],
            "trials": [
                {
                    "trial": number,
                    "configuration": configuration,
                    "failed": figures is None,
                    **{figure.name: (figures or {}).get(figure.name) for figure in MONITORED},
                }
                for number, (configuration, figures) in enumerate(trials_of_model, 1)
            ],
        }
    search = spec.search
    return {
        "trials": search.trials,
        "seed": search.seed,
        "monitor": search.monitor,
        "models": models,
    }


def search_markdown(search: dict) -> list[str]:
    """Formats a search as lines of Markdown."""
    monitor, short = FIGURES[search["monitor"]], _short_names(search)
    count = search["trials"]
    lines = [
        "## Search",
        "",
        f"{count} configuration{'s' * (count > 1)} of each model{_fewer(search)}, drawn and "
        f"trained with seed {search['seed']}, the best by {monitor.title} of the validation set; "
        "the test set was read for the chosen ones alone.",
        "",
    ]
    rows = []
    for label, model in search["models"].items():
        best = model["chosen"]
        score = None if best is None else model["trials"][best - 1][monitor.name]
        rows.append(
            [
                label,
                f"{model['configurations']:,}",
                "-" if best is None else str(best),
                monitor.cell(score),
                "-" if best is None else _text(model["configuration"], short),
            ]
        )
    score = f"{monitor.title} (valid)"
    titles = ["model", "size of its grid", "chosen trial", score, "configuration"]
    lines += [*markdown_table(titles, rows), "", "All trials, figures of the validation set:", ""]
    rows = [
        [
            label,
            f"{trial['trial']}{' (chosen)' * (trial['trial'] == model['chosen'])}",
            *(
                "failed" if trial["failed"] else figure.cell(trial[figure.name])
                for figure in MONITORED
            ),
            _text(trial["configuration"], short),
        ]
        for label, model in search["models"].items()
        for trial in model["trials"]
    ]
    titles = ["model", "trial", *(figure.title for figure in MONITORED), "configuration"]
    return [*lines, *markdown_table(titles, rows), ""]


def _fewer(search: dict) -> str:
    """Names the models whose grid has fewer configurations, as rows without a network may have."""
    counts = {label: len(model["trials"]) for label, model in search["models"].items()}
    fewer = [f"{count} of {label}" for label, count in counts.items() if count < search["trials"]]
    return f" ({', '.join(fewer)})" if fewer else ""


def _text(configuration: dict, short: dict) -> str:
    return ", ".join(f"{short[key]}={_value(value)}" for key, value in configuration.items()) or "-"


def _value(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short_names(search: dict) -> dict:
    """Maps each key to its last part, or to itself if another key has the same last part."""
    keys = {
        key
        for model in search["models"].values()
        for trial in model["trials"]
        for key in trial["configuration"]
    }
    ends = [key.rpartition(".")[2] for key in keys]
    return {key: end if ends.count(end) == 1 else key for key, end in zip(keys, ends, strict=True)}
