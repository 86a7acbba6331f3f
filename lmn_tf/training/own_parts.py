"""Checks of the parts of users that a pipeline names: a model, optimizers and metrics."""

from collections.abc import Callable, Iterator
from typing import Any

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.optimizer import OPTIMIZERS
from lmn_tf.specs.parts.metric import METRICS, name_and_arguments
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml.document import located


def names_own_parts(pipeline: PipelineSpec, features: FeatureSpec) -> bool:
    """Returns whether a pipeline or its feature spec names a part that is not of this package.

    Args:
        pipeline: A `PipelineSpec`.
        features: Its `FeatureSpec`.
    """
    names = [rule for _, _, rule in _optimizers(pipeline, features)]
    is_own = any(next(iter(rule)) not in OPTIMIZERS.builtin for rule in names)
    return is_own or bool(pipeline.metrics) or pipeline.model_name not in registry.PARTS.builtin


def check_own_parts(pipeline: PipelineSpec, features: FeatureSpec) -> None:
    """Imports and creates the optimizers and metrics of users that a pipeline names.

    `registry.check_model` checks the model. Nothing is imported for names of this package.

    Args:
        pipeline: A `PipelineSpec`.
        features: Its `FeatureSpec`.

    Raises:
        UserError: With file and line, if one cannot be imported or refuses its arguments.
    """
    for source, path, rule in _optimizers(pipeline, features):
        if next(iter(rule)) not in OPTIMIZERS.builtin:
            _placed(source, path, lambda rule=rule: _make_optimizer(rule))
    names = []
    for index, rule in enumerate(pipeline.metrics):
        path = ("metrics", index)
        metric = _placed(pipeline.source, path, lambda rule=rule: _make_metric(rule))
        if metric.needs_groups and features.group is None:
            raise located(
                f"`group` must be given in the feature spec for the metric `{metric.name}`. "
                "Received: nothing",
                pipeline.source,
                path,
            )
        if metric.name in names:
            raise located(
                f"`metrics` must have names of their own. Received: {metric.name!r} twice",
                pipeline.source,
                path,
            )
        names.append(metric.name)


def check_optimizers(pipeline: PipelineSpec, features: FeatureSpec) -> None:
    """Creates each optimizer that a pipeline names, to say where one refuses its arguments.

    Args:
        pipeline: A `PipelineSpec`.
        features: Its `FeatureSpec`.

    Raises:
        UserError: With file and line, if one cannot be imported or refuses its arguments.
    """
    for source, path, rule in _optimizers(pipeline, features):
        _placed(source, path, lambda rule=rule: _make_optimizer(rule))


def load_parts(pipeline: PipelineSpec, features: FeatureSpec) -> None:
    """Imports all parts that a pipeline names, since an import may draw random numbers.

    Args:
        pipeline: A `PipelineSpec`.
        features: Its `FeatureSpec`.
    """
    registry.model_class(pipeline.model_name)
    for _, _, rule in _optimizers(pipeline, features):
        OPTIMIZERS.load(next(iter(rule)))
    for rule in pipeline.metrics:
        METRICS.load(name_and_arguments(rule)[0])


def _optimizers(pipeline, features) -> Iterator[tuple[Any, tuple, dict]]:
    """Yields the source, the path and the rule of each optimizer."""
    for key in ("dense", "tables", "pairs"):
        path = ("train", "optimizer", key)
        yield pipeline.source, path, getattr(pipeline.train.optimizer, key)
    for name, table in features.tables.items():
        if table.optimizer is not None:
            yield features.source, ("tables", name, "optimizer"), table.optimizer


def _placed(source, path, create: Callable[[], Any]) -> Any:
    try:
        return create()
    except UserError as error:
        raise located(error.message, source, path) from error.__cause__


# The modules below import TensorFlow, which has to be told to be quiet first.


def _make_optimizer(rule):
    OPTIMIZERS.load(next(iter(rule)), "optimizer")
    from lmn_tf.optimizers import make_optimizer

    return make_optimizer(rule)


def _make_metric(rule):
    METRICS.load(name_and_arguments(rule)[0], "metrics")
    from lmn_tf.metrics.named_metric import own_metric

    return own_metric(rule)
