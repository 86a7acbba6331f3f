"""Bucket boundaries learned from the training data."""

from typing import Annotated

from pydantic import Field

from lmn_tf.specs.section import section


@section
class Quantiles:
    """Boundaries at the learned quantiles, so that buckets hold about equally many rows.

    Args:
        quantiles: Integer `n >= 2`, the number of buckets: `n - 1` boundaries are learned, and
            the column has `n + 2` ids. (Equal boundaries leave buckets empty, not the ids fewer.)
    """

    quantiles: Annotated[int, Field(strict=True, ge=2, le=1_000_000)]
