"""The optimizers of a run."""

from pydantic import Field, model_validator

from lmn_tf.specs.optimizer_rules import OptimizerRule, check_one_rule
from lmn_tf.specs.section import section


@section
class Optimizer:
    """One optimizer for dense weights, another for the rows of tables and memories.

    Each is a mapping of one name to a learning rate, or to its arguments.

    Args:
        dense: Mapping. Defaults to `{adam: 0.001}`.
        tables: Mapping. Defaults to `{row_wise_adagrad: 0.05}`.
    """

    dense: OptimizerRule = Field(default_factory=lambda: {"adam": 0.001})
    tables: OptimizerRule = Field(default_factory=lambda: {"row_wise_adagrad": 0.05})

    @model_validator(mode="after")
    def _check(self):
        check_one_rule("dense", self.dense)
        check_one_rule("tables", self.tables)
        return self
