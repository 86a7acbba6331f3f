"""Optimizers of a run."""

from typing import Annotated, Any

import pydantic

from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.parts.parts import PATH_PATTERN, Parts
from lmn_tf.specs.yaml.section import Options, Problem, section
from lmn_tf.specs.yaml.strict_yaml import is_finite

OPTIMIZERS = Parts(
    "an optimizer",
    "lmn_tf.optimizers",
    {
        "adadelta": "keras.optimizers:Adadelta",
        "adafactor": "keras.optimizers:Adafactor",
        "adagrad": "keras.optimizers:Adagrad",
        "adam": "keras.optimizers:Adam",
        "adamax": "keras.optimizers:Adamax",
        "adamw": "keras.optimizers:AdamW",
        "ftrl": "keras.optimizers:Ftrl",
        "lion": "keras.optimizers:Lion",
        "nadam": "keras.optimizers:Nadam",
        "rmsprop": "keras.optimizers:RMSprop",
        "row_wise_adagrad": "lmn_tf.optimizers:RowWiseAdagrad",
        "row_wise_adam": "lmn_tf.optimizers:RowWiseAdam",
        "row_wise_sgd": "lmn_tf.optimizers:RowWiseSGD",
        "sgd": "keras.optimizers:SGD",
        "sparse_adagrad": "lmn_tf.optimizers:SparseAdagrad",
    },
    base="keras.optimizers:Optimizer",
)


def _rule_schema(schema):
    """Completes the JSON Schema of a rule, for the optimizers that are installed."""
    rate = {"type": "number", "exclusiveMinimum": 0}
    value = {"anyOf": [rate, {"type": "object", "properties": {"learning_rate": rate}}]}
    schema.update(
        minProperties=1,
        maxProperties=1,
        properties=dict.fromkeys(OPTIMIZERS.names(), value),
        patternProperties={PATH_PATTERN: value},
        additionalProperties=False,
    )


OptimizerRule = Annotated[Options, pydantic.Field(json_schema_extra=_rule_schema)]


def check_one_rule(key: str, rule: dict[str, Any]) -> None:
    """Raises `Problem` unless `rule` maps one optimizer's name to a rate or to arguments."""
    if len(rule) != 1:
        names = ", ".join(rule) or "none"
        raise Problem((key,), f"`{key}` must name exactly one optimizer. Received: {names}")
    name, value = next(iter(rule.items()))
    try:
        OPTIMIZERS.path(name, key)
    except UserError as error:
        raise Problem((key, name), error.message) from None
    if isinstance(value, dict):
        path, rate = (key, name, "learning_rate"), value.get("learning_rate", 1.0)
    else:
        path, rate = (key, name), value
    if not is_finite(rate) or rate <= 0:
        raise Problem(
            path,
            f"the learning rate of `{name}` must be a number greater than 0."
            f" Received: learning_rate={short(rate)}",
        )


def with_path(rule: dict[str, Any] | None) -> dict[str, Any] | None:
    """Returns a rule with the path of an optimizer of a user instead of the name.

    Args:
        rule: Mapping from one optimizer's name to a rate or to arguments, or `None`.

    Example:

    >>> with_path({"my_package.steps:Lookahead": 0.1})
    {'my_package.steps:Lookahead': 0.1}
    """
    return rule and {OPTIMIZERS.written(name): value for name, value in rule.items()}


@section
class Optimizer:
    """Optimizers for dense weights, and for the rows of tables and memories.

    Each is a mapping from one name to a learning rate or to arguments.

    Args:
        dense: Mapping. Optimizer of dense weights. Defaults to `{adam: 0.001}`.
        tables: Mapping. Optimizer of rows. Defaults to `{row_wise_adagrad: 0.05}`.
        pairs: Mapping. Optimizer of the values of memories of pairs. Defaults to
            `{row_wise_sgd: 1.0}`.
    """

    dense: OptimizerRule = pydantic.Field(default_factory=lambda: {"adam": 0.001})
    tables: OptimizerRule = pydantic.Field(default_factory=lambda: {"row_wise_adagrad": 0.05})
    pairs: OptimizerRule = pydantic.Field(default_factory=lambda: {"row_wise_sgd": 1.0})

    @pydantic.model_validator(mode="after")
    def _check(self):
        for key in ("dense", "tables", "pairs"):
            check_one_rule(key, getattr(self, key))
        return self
