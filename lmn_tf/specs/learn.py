"""A vocabulary learned from the training data."""

from lmn_tf.specs.section import Count, Positive, section


@section
class Learn:
    """A vocabulary counted in the training data, most frequent values first.

    Args:
        min_count: Integer. Values seen less often are unknown. Defaults to `1`.
        max_size: Integer or `None`. Only this many values are kept. Defaults to `None`.
    """

    min_count: Positive = 1
    max_size: Count | None = None
