"""Checks of what a model asks of its pipeline."""

from typing import Any

from lmn_tf.models import registry
from lmn_tf.models.options import PairMemoryOptions, RatesOptions
from lmn_tf.models.terms.columns import Columns, check_item_ids, check_pair_outcome, pair_items
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml.section import Problem

# Options of terms that are written after training, as they are without them.
_OFF = {"pair_values": "trained", "rates": False, "softmax_score": False}


def check_run(
    pipeline: PipelineSpec,
    features: FeatureSpec,
    source: tuple[Any, Any] = (None, None),
    path: tuple[str | int, ...] = ("model",),
) -> None:
    """Checks that a pipeline suits its model.

    Args:
        pipeline: A `PipelineSpec`.
        features: Its `FeatureSpec`.
        source: Pair of the path of the file and its `Marks`, as of `Document.source`; each may be
            `None`. Defaults to `(None, None)`.
        path: Tuple of keys and indices. Position of the section `model` in the file. Defaults to
            `("model",)`.

    Raises:
        UserError: As in `registry.check_model`, or if an option names no column of the spec that
            fits, the pipeline asks a model without a network for what only a network can do, or a
            model lacks validation rows or histories that it needs; with file and line.
    """
    name = pipeline.model_name
    registry.check_model(pipeline.model, source, path)
    try:
        options = registry.record(name).make(pipeline.model_options)
        if not registry.is_baseline(name):
            check_item_ids(features, options)
            _check_pairs(options, features)
            _check_terms(options, pipeline, features)
            return
        _check_pipeline(pipeline, name)
        Columns.found(features, options)
    except Problem as problem:
        file, marks = source
        place = (None, None) if marks is None else marks.location((*path, *problem.path), file)
        raise UserError(str(problem), *place) from None


def fits_weights(pipeline: PipelineSpec) -> bool:
    """Returns whether weights of a model are fitted to the labels of the validation rows.

    Args:
        pipeline: A `PipelineSpec`.
    """
    name = pipeline.model_name
    options = registry.record(name).make(pipeline.model_options)
    return pipeline.data.valid is not None and (registry.is_baseline(name) or bool(_terms(options)))


def _check_pairs(options, features):
    """Checks what a memory of pairs reads."""
    if isinstance(options, PairMemoryOptions):
        items = pair_items(features)
        if options.pair_values == "ease":
            # Of several items, the vocabularies decide, which are learned when the run begins.
            check_pair_outcome(features, *next(iter(items.items())), options.outcome)


def _check_terms(options, pipeline, features):
    """Checks the options of terms that are written after training."""
    asked = _terms(options)
    if asked and pipeline.data.valid is None:
        terms, them = _listed(asked), "them" if len(asked) > 1 else "it"
        if pipeline.data.days is not None:
            rule = f"{terms} must be turned off with `data.days`, which has no validation rows"
            received, given = "data.days", ""
        else:
            rule = f"`data.valid` must be given for {terms}: weights are fitted to its rows"
            received, given = "no data.valid", "give validation rows, or "
        advice = f"{given}turn {them} off by {_listed({key: _OFF[key] for key in asked})}"
        advice = advice[0].upper() + advice[1:]
        raise Problem((next(iter(asked)),), f"{rule}. Received: {received}. {advice}.")
    if options.rates:
        Columns.found(features, RatesOptions(outcome=options.outcome))


def _terms(options):
    """Returns the options that ask for terms with weights that are fitted after training."""
    return {key: value for key, value in options.values().items() if _OFF.get(key, value) != value}


def _listed(options):
    """Options as they are written in YAML, one after another."""
    *others, last = (f"`{key}: {str(value).lower()}`" for key, value in options.items())
    return f"{', '.join(others)} and {last}" if others else last


def _check_pipeline(pipeline, name):
    text = f"with model `{name}`, which has no network"
    if pipeline.data.days is not None:
        raise Problem(("name",), f"`data.days` must not be given {text}. Received: data.days")
    if pipeline.warm_start is not None:
        run = pipeline.warm_start.run
        raise Problem(("name",), f"`warm_start` must not be given {text}. Received: run={run!r}")
    strategy = pipeline.distribute.strategy
    if strategy != "none":
        rule = f"`distribute.strategy` must be none {text}"
        raise Problem(("name",), f"{rule}. Received: strategy={strategy!r}")
