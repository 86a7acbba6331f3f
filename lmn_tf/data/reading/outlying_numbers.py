"""Counts of the numbers of data that lie far outside those of the training data."""

import contextlib
import dataclasses

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.number_encoder import NumberEncoder
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.learning.counts import is_constant
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


class OutlyingNumbers:
    """Counts of the numbers of each column that lie far outside the range that was learned.

    A number lies far outside if it is more than the whole range below the smallest number of the
    training data, or above their largest. What a model predicts for it may be anything. Counted are
    columns with `standardize` or `min_max`, whose range is learned, and which do not end in
    `bucketize`, whose outer buckets hold any number. The range is that of given numbers: the
    `default` of missing ones is not counted. That of a field is learned where the column is that it
    is like. Histories by reference are left out, since their events are not read row by row.

    Args:
        spec: `FeatureSpec` with all statistics.

    Attributes:
        counts: Dictionary from a column to its number of outlying numbers and of all numbers.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        self._features = {column.name: _limits(spec, column) for column in spec.features}
        self._fields = {
            (sequence.name, field.name): _limits(spec, spec.resolved_field(sequence, field))
            for sequence in spec.sequences
            if sequence.events is None
            for field in sequence.fields
        }
        self._farthest: dict[str, _Farthest] = {}

    def add(self, block: RowBlock) -> None:
        """Counts the numbers of encoded rows.

        Args:
            block: `RowBlock`.
        """
        for name, limits in self._features.items():
            if limits is not None:
                self._count(name, block.features[name], limits)
        for (sequence, name), limits in self._fields.items():
            if limits is not None and sequence in block.sequences:
                self._count(f"{sequence}/{name}", block.sequences[sequence].fields[name], limits)

    def sentences(self) -> list[str]:
        """Returns a sentence for each column with such numbers, that with the farthest first.

        Such as ``"`price`: 1 of 4,000 numbers lies far outside the learned range 0.5 to 50; the
        farthest is 1e+09"``.
        """
        sentences = []
        for key in sorted(self._farthest, key=lambda key: -self._farthest[key].distance):
            outlying, count = self.counts[key]
            farthest, verb = self._farthest[key], "lies" if outlying == 1 else "lie"
            sentences.append(
                f"`{key}`: {outlying:,} of {count:,} numbers {verb} far outside the learned range "
                f"{farthest.limits}; the farthest is {farthest.number:.4g}"
            )
        return sentences

    def _count(self, key, numbers, limits):
        if limits.default is not None:
            numbers = numbers[numbers != limits.default]
        distances = np.abs(numbers - limits.middle) / limits.reach
        outlying, count = self.counts.get(key, (0, 0))
        outlying += int(np.count_nonzero(distances > 1.0))
        self.counts[key] = outlying, count + len(numbers)
        known, distance = self._farthest.get(key), distances.max(initial=0.0)
        if distance > (1.0 if known is None else known.distance):
            number = limits.encoder.decode(float(numbers[np.argmax(distances)]))
            self._farthest[key] = _Farthest(float(distance), number, str(limits))


@dataclasses.dataclass
class _Farthest:
    """The number of a column that lies farthest outside."""

    distance: float
    number: float
    limits: str


@dataclasses.dataclass
class _Limits:
    """Encoded numbers that are not far outside: from `low - span` to `high + span`."""

    encoder: NumberEncoder

    def __post_init__(self):
        self.low, self.high = self.encoder.encoded_range
        self.middle, self.reach = (self.low + self.high) / 2, 1.5 * (self.high - self.low)
        self.default = None
        if self.encoder.default is not None:
            location = SourceLocation.of_rows("", self.encoder.name, 0)
            with contextlib.suppress(UserError):  # such as log1p of -1, told where one is missing
                [self.default] = self.encoder.encode(pa.array([self.encoder.default]), location)

    def __str__(self):
        return f"{self.encoder.decode(self.low):.6g} to {self.encoder.decode(self.high):.6g}"


def _limits(spec, column):
    """Returns `_Limits` of a column, or `None` if no range with a width is learned."""
    if column.kind != "numeric" or not column.needs_statistics or column.bucketize is not None:
        return None
    statistics = spec.assets.statistics.get(column.key)
    if statistics is None or is_constant(statistics["min"], statistics["max"]):
        return None
    return _Limits(NumberEncoder(column.name, column.transform, statistics, column.default))
