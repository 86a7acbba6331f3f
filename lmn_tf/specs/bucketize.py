"""Numbers cut into buckets."""

from typing import Annotated

from pydantic import Field, model_validator

from lmn_tf.specs.quantiles import Quantiles
from lmn_tf.specs.section import Number, Problem, section


@section
class Bucketize:
    """Replaces a number by the id of its bucket.

    With boundaries `b_1 < ... < b_n` a value `x` falls into bucket `#{i : b_i <= x}`, one of
    `0..n`, and bucket `j` has id `j + 2`.

    Args:
        bucketize: Tuple of increasing boundaries, or `Quantiles`.
    """

    bucketize: Annotated[tuple[Number, ...], Field(min_length=1)] | Quantiles

    @model_validator(mode="after")
    def _check(self):
        if isinstance(self.bucketize, Quantiles):
            return self
        for index, (left, right) in enumerate(
            zip(self.bucketize, self.bucketize[1:], strict=False)
        ):
            if not left < right:
                raise Problem(
                    ("bucketize", index + 1),
                    f"boundaries of `bucketize` must increase. Received: {left:g}, {right:g}",
                )
        return self

    @property
    def learned(self):
        """Whether the boundaries come from the training data."""
        return isinstance(self.bucketize, Quantiles)

    @property
    def size(self):
        """Number of ids with the two reserved ones."""
        if self.learned:
            return self.bucketize.quantiles + 2
        return len(self.bucketize) + 3
