"""An embedding table."""

from typing import Literal

from pydantic import model_validator

from lmn_tf.specs.column import Width
from lmn_tf.specs.optimizer_rules import OptimizerRule, check_one_rule
from lmn_tf.specs.section import NonNegative, PositiveNumber, section


@section
class Table:
    """A table of vectors that one column or several look up.

    Args:
        dim: Integer. Width of a vector.
        combiner: How the vectors of a multi_value column become one: `"mean"`, `"sum"` or
            `"sqrtn"`. Defaults to `"mean"`.
        initializer: `"uniform"`, `"normal"` or `"zeros"`. Defaults to `"normal"`.
        initializer_scale: Float. Half the range of uniform, standard deviation of normal vectors
            at the start. Models that multiply embeddings of behaviours with each other may need
            more than the default to begin to learn. Defaults to `0.05`.
        regularizer: Float. L2 weight. Defaults to `0.0`.
        placement: `"replicated"` or `"row_wise"`. Defaults to `"replicated"`.
        optimizer: Mapping of one optimizer's name to its learning rate or arguments. Defaults to
            `None`: the pipeline's optimizer of tables.
    """

    dim: Width
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    initializer: Literal["uniform", "normal", "zeros"] = "normal"
    initializer_scale: PositiveNumber = 0.05
    regularizer: NonNegative = 0.0
    placement: Literal["replicated", "row_wise"] = "replicated"
    optimizer: OptimizerRule | None = None

    @model_validator(mode="after")
    def _check(self):
        if self.optimizer is not None:
            check_one_rule("optimizer", self.optimizer)
        return self
