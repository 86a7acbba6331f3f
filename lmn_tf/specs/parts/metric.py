"""Metrics of users in the evaluations of a run."""

from typing import Annotated, Any

import pydantic

from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.parts.parts import Parts
from lmn_tf.specs.yaml.section import Options, Problem, Text

METRICS = Parts(
    "a metric",
    "lmn_tf.metrics",
    {
        "auc": "lmn_tf.metrics:StreamingAUC",
        "gauc": "lmn_tf.metrics:GroupedAUC",
        "qauc": "lmn_tf.metrics:GroupedAUC",
        "logloss": "lmn_tf.metrics:LogLoss",
        "normalized_entropy": "lmn_tf.metrics:NormalizedEntropy",
        "ne": "lmn_tf.metrics:NormalizedEntropy",
    },
    base="lmn_tf.metrics:LabelMetric",
)


def _check(rules):
    for index, rule in enumerate(rules):
        if isinstance(rule, dict) and len(rule) != 1:
            names = ", ".join(rule) or "none"
            raise Problem((index,), f"must name exactly one metric. Received: {names}")
        name, arguments = name_and_arguments(rule)
        path = (index, name) if isinstance(rule, dict) else (index,)
        if not isinstance(arguments, dict):
            raise Problem(
                path, f"must be a mapping of arguments. Received: {name}={short(arguments)}"
            )
        if name in METRICS.builtin:
            raise Problem(
                path,
                f"`metrics` must be metrics of your own: {name} is part of every evaluation.",
            )
        try:
            METRICS.path(name, "metrics")
        except UserError as error:
            raise Problem(path, error.message) from None
    return rules


MetricRule = Text | Options
MetricRules = Annotated[tuple[MetricRule, ...], pydantic.AfterValidator(_check)]


def name_and_arguments(rule: str | dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the name of a metric and its arguments.

    Args:
        rule: String, or mapping from one name to a mapping of arguments.

    Example:

    >>> name_and_arguments({"my_package.metrics:PrecisionAt": {"k": 5}})
    ('my_package.metrics:PrecisionAt', {'k': 5})
    """
    return (rule, {}) if isinstance(rule, str) else next(iter(rule.items()))


def with_path(rule: str | dict[str, Any]) -> str | dict[str, Any]:
    """Returns a rule with the path of the metric instead of its name.

    Args:
        rule: As in `name_and_arguments`.

    Example:

    >>> with_path("my_package.metrics:PrecisionAt")
    'my_package.metrics:PrecisionAt'
    """
    name, arguments = name_and_arguments(rule)
    path = METRICS.written(name)
    return path if isinstance(rule, str) else {path: arguments}
