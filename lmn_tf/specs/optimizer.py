"""Optimizers of a run."""

from typing import Annotated, Any

import pydantic

from lmn_tf.specs.errors import did_you_mean, short
from lmn_tf.specs.yaml.section import Options, Problem, section
from lmn_tf.specs.yaml.strict_yaml import is_finite

OPTIMIZER_NAMES = (
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam",
    "rmsprop", "row_wise_adagrad", "row_wise_adam", "sgd", "sparse_adagrad",
)  # fmt: skip

OptimizerRule = Annotated[
    Options,
    pydantic.Field(
        json_schema_extra={
            "minProperties": 1,
            "maxProperties": 1,
            "propertyNames": {"enum": list(OPTIMIZER_NAMES)},
            "additionalProperties": {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0},
                    {
                        "type": "object",
                        "properties": {"learning_rate": {"type": "number", "exclusiveMinimum": 0}},
                    },
                ]
            },
        }
    ),
]


def check_one_rule(key: str, rule: dict[str, Any]) -> None:
    """Raises `Problem` unless `rule` maps one optimizer's name to a rate or to arguments."""
    if len(rule) != 1:
        names = ", ".join(rule) or "none"
        raise Problem((key,), f"`{key}` must name exactly one optimizer. Received: {names}")
    name, value = next(iter(rule.items()))
    if name not in OPTIMIZER_NAMES:
        raise Problem(
            (key, name),
            f"`{key}` must name an optimizer. Received: {short(name)}."
            f"{did_you_mean(name, OPTIMIZER_NAMES)}",
        )
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


@section
class Optimizer:
    """Optimizers for dense weights, and for the rows of tables and memories.

    Each is a mapping from one name to a learning rate or to arguments.

    Args:
        dense: Mapping. Optimizer of dense weights. Defaults to `{adam: 0.001}`.
        tables: Mapping. Optimizer of rows. Defaults to `{row_wise_adagrad: 0.05}`.
    """

    dense: OptimizerRule = pydantic.Field(default_factory=lambda: {"adam": 0.001})
    tables: OptimizerRule = pydantic.Field(default_factory=lambda: {"row_wise_adagrad": 0.05})

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_one_rule("dense", self.dense)
        check_one_rule("tables", self.tables)
        return self
