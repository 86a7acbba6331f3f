"""One model of a comparison."""

import pydantic

from lmn_tf.specs.grid import Grid
from lmn_tf.specs.section import Options, Text, section


@section
class ComparisonModel:
    """A row of the table of a comparison.

    Args:
        label: String. What the row is called.
        model: Mapping with the model's `name` and its options, in place of the pipeline's.
        train: Mapping that is written over the pipeline's `train`, as that of a pipeline is over
            that of its `base`. Defaults to none.
        grid: Mapping from `train.KEY` or `model.OPTION` to a list of values, beside and over the
            grid of the `search`. Defaults to none.
    """

    label: Text
    model: Options
    train: Options = pydantic.Field(default_factory=dict)
    grid: Grid = pydantic.Field(default_factory=dict)
