"""Checks of a comparison against its pipeline and the options of its models."""

import dataclasses

from lmn_tf.metrics.figures import FIGURES
from lmn_tf.models import registry
from lmn_tf.models.run_checks import check_run
from lmn_tf.specs.comparison_spec import ComparisonModel, ComparisonSpec
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.grid import overlaps, size
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.own_parts import check_own_parts


def check_runs(spec: ComparisonSpec, base: PipelineSpec, features: FeatureSpec) -> None:
    """Checks every model of a comparison and every value of its search, without training.

    Args:
        spec: A `ComparisonSpec`.
        base: The `PipelineSpec` of its base.
        features: The `FeatureSpec` of that pipeline.

    Raises:
        UserError: With file and line, if a model, an option, a training key or a grid is invalid.
    """
    check_own_parts(base, features)
    if base.data.valid is None and base.data.test is None:
        raise _placed(
            spec,
            ("pipeline",),
            "`data.test` or `data.valid` of the pipeline must be given for a comparison: there the "
            "models are compared. Received: neither",
        )
    for index, entry in enumerate(spec.models):
        registry.check_model(entry.model, spec.source, ("models", index, "model"))
        run = spec.run_pipeline(entry.label, seed=spec.seeds[0], base=base)
        try:
            run.check_features(features)
            check_own_parts(run, features)
        except UserError as error:
            path = ("models", index, "train")
            raise _placed(spec, path, error.message) from error.__cause__
        check_run(run, features, spec.source, ("models", index, "model"))
        if entry.train and registry.is_baseline(entry.model["name"]):
            raise _placed(
                spec,
                ("models", index, "train"),
                f"`train` must be left out for `{entry.label}`: {_untrained(entry)}. "
                f"Received: {', '.join(entry.train)}",
            )
    if spec.vary is not None:
        _check_vary(spec, base, features)
    if spec.search is not None:
        _check_search(spec, base, features)
        for index, entry in enumerate(spec.models):
            _check_grid(spec, index, entry, base, features)


def model_grid(spec: ComparisonSpec, entry: ComparisonModel) -> dict[str, tuple]:
    """Returns the grid of a model: the applicable part of the search's grid, and its own.

    Args:
        spec: A `ComparisonSpec` with a `search`.
        entry: One of its `models`.

    Returns:
        Mapping from `train.KEY` or `model.OPTION` to a tuple of values.
    """
    name = entry.model["name"]
    common = {key: values for key, values in spec.search.grid.items() if applies(key, name)}
    return {**common, **entry.grid}


def applies(key: str, name: str) -> bool:
    """Returns whether a key of a grid or of `vary` changes a model.

    Args:
        key: String. `data.train_rows`, `model.OPTION` or `train.KEY`.
        name: String. Name of the model.

    Example:

    >>> applies("model.num_keys", "lmn"), applies("model.num_keys", "din")
    (True, False)
    """
    if key.startswith("train."):
        return not registry.is_baseline(name)
    return key.startswith("data.") or _option(key) in registry.options(name)


def trials(spec: ComparisonSpec, entry: ComparisonModel) -> list[dict]:
    """Returns the configurations that the search tries for a model.

    A row without a network may have fewer than `search.trials`: all of its grid.
    """
    grid, search = model_grid(spec, entry), spec.search
    if registry.is_baseline(entry.model["name"]):
        search = dataclasses.replace(search, trials=min(search.trials, size(grid)))
    return search.draw(grid)


def _check_search(spec, base, features):
    for key, words in (("valid", "chooses configurations"), ("test", "must not choose them")):
        if getattr(base.data, key) is None:
            raise _placed(
                spec,
                ("search",),
                f"`data.{key}` of the pipeline must be given for a `search`: the "
                f"{'validation' if key == 'valid' else 'test'} set {words}. Received: nothing",
            )
    if FIGURES[spec.search.monitor].needs_groups and features.group is None:
        raise _placed(
            spec,
            ("search", "monitor"),
            "`search.monitor` must be auc or logloss where the feature spec names no `group`. "
            "Received: monitor='gauc'",
        )
    for key in spec.search.grid:
        _check_option(spec, key, ("search", "grid", key))


def _check_option(spec, key, path):
    """Refuses an option that no model has."""
    everything = {
        option for entry in spec.models for option in registry.options(entry.model["name"])
    }
    if key.startswith("model.") and _option(key) not in everything:
        raise _placed(
            spec,
            path,
            f"`{_option(key)}` must be an option of one of the models."
            f"{did_you_mean(_option(key), sorted(everything))}",
        )


def _check_vary(spec, base, features):
    key, values = spec.varied
    _check_option(spec, key, ("vary", key))
    for entry in spec.models:
        if applies(key, entry.model["name"]):
            _check_values(spec, entry, base, features, key, values, ("vary", key))


def _check_values(spec, entry, base, features, key, values, path):
    """Checks the runs of a model with each value of a key."""
    for number, value in enumerate(values):
        try:
            if key.startswith("model."):
                registry.check_options(entry.model["name"], {_option(key): value})
            _check_run(spec, entry, base, features, {key: value})
        except UserError as error:
            raise _placed(spec, (*path, number), error.message) from None


def _check_run(spec, entry, base, features, configuration):
    run = spec.run_pipeline(entry.label, base=base, configuration=configuration)
    run.check_features(features)
    check_own_parts(run, features)
    registry.check_model(run.model)
    check_run(run, features)


def _check_grid(spec, index, entry, base, features):
    name, grid = entry.model["name"], model_grid(spec, entry)
    for inner, outer in overlaps(grid):
        grid_key = inner if inner in entry.grid else outer
        raise _placed(
            spec,
            ("models", index, "grid", grid_key),
            f"`{inner}` must not be in the grid of model `{entry.label}` beside `{outer}`.",
        )
    for key, values in grid.items():
        is_own = key in entry.grid
        if key.startswith("train.") and registry.is_baseline(name):
            raise _placed(
                spec,
                ("models", index, "grid", key),
                f"`{key}` must not be in the grid of `{entry.label}`: {_untrained(entry)}.",
            )
        path = ("models", index, "grid", key) if is_own else ("search", "grid", key)
        _check_values(spec, entry, base, features, key, values, path)
    count = size(grid)
    if count < spec.search.trials and not registry.is_baseline(name):
        raise _placed(
            spec,
            ("models", index, "grid") if entry.grid else ("models", index),
            f"the grid of model `{entry.label}` must have {spec.search.trials} configurations or "
            f"more, as `search.trials` says: all models get the same budget. Received: {count}. "
            "Add values, or lower `trials`.",
        )
    for configuration in trials(spec, entry):
        try:
            _check_run(spec, entry, base, features, configuration)
        except UserError as error:
            place = ("models", index, "grid") if entry.grid else ("search", "grid")
            drawn = ", ".join(f"{key}={value}" for key, value in configuration.items())
            raise _placed(spec, place, f"{error.message}, in the trial {drawn}") from None


def _untrained(entry):
    return f"model `{entry.model['name']}` has no network to train"


def _option(key):
    return key.partition(".")[2]


def _placed(spec, path, message):
    file, marks = spec.source
    return UserError(message, file, None if marks is None else marks.line(path))
