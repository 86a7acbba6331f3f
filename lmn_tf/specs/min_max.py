"""Numbers scaled from a given range."""

import math

from pydantic import model_validator

from lmn_tf.specs.section import Number, Problem, section


@section
class MinMax:
    """Scales `[low, high]` to `[0, 1]`: `(x - low) / (high - low)`.

    Args:
        min_max: Pair of numbers `(low, high)`, `low < high`.
    """

    min_max: tuple[Number, Number]

    @model_validator(mode="after")
    def _check(self):
        if not self.min_max[0] < self.min_max[1]:
            raise Problem(
                ("min_max",),
                f"`min_max` must be [low, high] with low < high. Received: {list(self.min_max)}",
            )
        if not math.isfinite(self.min_max[1] - self.min_max[0]):
            raise Problem(
                ("min_max",),
                "`min_max` must be [low, high] whose difference is finite."
                f" Received: {list(self.min_max)}",
            )
        return self
