"""Counts of the values of data that a spec does not know."""

import numpy as np

from lmn_tf.data.encoding.ragged import Ragged
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import UNKNOWN_ID


class UnknownValues:
    """Counts of the values of each column that are unknown or missing.

    Of columns with a lookup that gives unknown values the id 1. Histories by reference are left
    out, since their events are not read row by row.

    Args:
        spec: `FeatureSpec`.

    Attributes:
        counts: Dictionary from a column to its number of unknown values and of all values.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.counts: dict[str, tuple[int, int]] = {}
        self._features = [column.name for column in spec.features if _is_counted(column)]
        self._fields = {
            sequence.name: [
                field.name
                for field in sequence.fields
                if _is_counted(spec.resolved_field(sequence, field))
            ]
            for sequence in spec.sequences
            if sequence.events is None
        }

    def add(self, block: RowBlock) -> None:
        """Counts the values of encoded rows.

        Args:
            block: `RowBlock`.
        """
        parts = {name: block.features[name] for name in self._features}
        for sequence, rows in block.sequences.items():
            for name in self._fields.get(sequence, ()):
                parts[f"{sequence}/{name}"] = rows.fields[name]
        for key, part in parts.items():
            ids = part.values if isinstance(part, Ragged) else part
            unknown, count = self.counts.get(key, (0, 0))
            unknown += int(np.count_nonzero(ids == UNKNOWN_ID))
            self.counts[key] = unknown, count + len(ids)  # rows are not padded here

    def sentences(self) -> list[str]:
        """Returns a sentence for each column with such values, that with the largest share first.

        Such as ``"`movie_id`: 12 of 4,000 values (0.3 %) are unknown or missing"``.
        """
        shares = {key: unknown / count for key, (unknown, count) in self.counts.items() if unknown}
        sentences = []
        for key in sorted(shares, key=lambda key: -shares[key]):
            unknown, count = self.counts[key]
            percent = f"{100 * shares[key]:{'.1f' if shares[key] >= 0.001 else '.1g'}}"
            sentences.append(
                f"`{key}`: {unknown:,} of {count:,} values ({percent} %) are unknown or missing"
            )
        return sentences


def _is_counted(column):
    lookup = column.lookup
    return lookup is not None and lookup.unknown == "own_id" and column.kind != "cross"
