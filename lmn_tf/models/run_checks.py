"""Checks of what a model asks of its pipeline."""

from typing import Any

from lmn_tf.models import registry
from lmn_tf.models.base.columns import Columns, check_pair_outcome, pair_items
from lmn_tf.models.options import PairMemoryOptions, RatesOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml.section import Problem


def check_run(
    pipeline: PipelineSpec,
    features: FeatureSpec,
    source: tuple[Any, Any] = (None, None),
    path: tuple[str | int, ...] = ("model",),
) -> None:
    """Checks that a pipeline suits its model.

    Args:
        pipeline: A `PipelineSpec` whose model's options are valid.
        features: Its `FeatureSpec`.
        source: Pair of the path of the file and its `Marks`, as of `Document.source`; each may be
            `None`. Defaults to `(None, None)`.
        path: Tuple of keys and indices. Position of the section `model` in the file. Defaults to
            `("model",)`.

    Raises:
        UserError: If an option names no column of the spec that fits, the pipeline asks a model
            without a network for what only a network can do, or a model lacks validation rows or
            histories that it needs; with file and line.
    """
    name = pipeline.model_name
    try:
        if not registry.is_baseline(name):
            _check_pairs(pipeline, features)
            _check_terms(pipeline, features)
            return
        _check_pipeline(pipeline, name)
        Columns.found(features, registry.record(name).make(pipeline.model_options))
    except Problem as problem:
        file, marks = source
        place = (None, None) if marks is None else marks.location((*path, *problem.path), file)
        raise UserError(str(problem), *place) from None


def _check_pairs(pipeline, features):
    """Checks what a memory of pairs reads."""
    record = registry.record(pipeline.model_name)
    if issubclass(record, PairMemoryOptions):
        options, items = pipeline.model_options, pair_items(features)
        if options.get("pair_values") == "ease":
            # Of several items, the vocabularies decide, which are learned when the run begins.
            check_pair_outcome(features, *next(iter(items.items())), options.get("outcome"))


def _check_terms(pipeline, features):
    """Checks the options of terms that are written after training."""
    options = pipeline.model_options
    terms = {"pair_values: ease": options.get("pair_values") == "ease"}
    terms |= {f"{key}: true": options.get(key, False) for key in ("rates", "softmax_score")}
    for text, is_asked in terms.items():
        if is_asked and pipeline.data.valid is None:
            if pipeline.data.days is not None:
                rule = f"`{text}` must be left out with `data.days`, which has no validation set"
                received = "data.days"
            else:
                rule = f"`data.valid` must be given for `{text}`, whose weights are fitted to it"
                received = "no data.valid"
            raise Problem((text.partition(":")[0],), f"{rule}. Received: {received}")
    if terms["rates: true"]:
        Columns.found(features, RatesOptions(outcome=options.get("outcome")))


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
