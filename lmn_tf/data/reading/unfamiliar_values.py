"""Counts of the values of data that training did not make a model familiar with."""

from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.reading.outlying_numbers import OutlyingNumbers
from lmn_tf.data.reading.unknown_values import UnknownValues
from lmn_tf.specs.feature_spec import FeatureSpec

_MOST_SENTENCES = 5


class UnfamiliarValues:
    """Counts of unknown ids and of outlying numbers, and the sentences that tell of them.

    Args:
        spec: `FeatureSpec` with all vocabularies and statistics.

    Attributes:
        unknown: `UnknownValues`.
        outlying: `OutlyingNumbers`.
        is_complete: Boolean. Whether all rows were counted, so that a further pass is not.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self._spec = spec
        self.is_complete = False
        self.clear()

    def clear(self) -> None:
        """Forgets all counts."""
        self.unknown = UnknownValues(self._spec)
        self.outlying = OutlyingNumbers(self._spec)

    def add(self, block: RowBlock) -> None:
        """Counts the values of encoded rows.

        Args:
            block: `RowBlock`.
        """
        self.unknown.add(block)
        self.outlying.add(block)

    def sentences(self) -> list[str]:
        """Returns the sentences of both counts, of at most five columns each."""
        return _first(self.unknown.sentences()) + _first(self.outlying.sentences())


def _first(sentences):
    first = sentences[:_MOST_SENTENCES]
    if len(sentences) > len(first):
        first[-1] += f", and some of {len(sentences) - len(first)} more columns"
    return first
