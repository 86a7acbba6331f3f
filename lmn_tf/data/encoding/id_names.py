"""Readable names of the ids of a column."""

from lmn_tf.specs.columns import Column
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID

_RESERVED = ("(none)", "(unknown)")


class IdNames:
    """Converter of the ids of a column to names.

    Args:
        spec: `FeatureSpec` with its assets.
        column: Feature, or resolved field of a sequence, with ids.

    Example:

    >>> names = IdNames(spec, spec.feature("hour"))
    >>> names(25), names(1)
    ('23', '(unknown)')
    """

    def __init__(self, spec: FeatureSpec, column: Column) -> None:
        self._vocabulary = spec.vocabulary(column)
        self._column = column
        self._boundaries = None
        if column.bucketize is not None:
            learned = spec.assets.statistics.get(column.key, {}).get("quantiles")
            self._boundaries = learned if column.bucketize.learned else column.bucketize.bucketize

    def __call__(self, id_: int) -> str:
        """Returns the name of an id."""
        id_ = int(id_)  # It may be a NumPy integer.
        if id_ < FIRST_ID:
            return _RESERVED[id_]
        index, column = id_ - FIRST_ID, self._column
        if self._vocabulary is not None:
            return str(self._vocabulary[index])
        if self._boundaries is not None:
            return _interval(self._boundaries, index)
        if column.kind == "elapsed_time":
            start = 0 if index == 0 else 2 ** (index - 1)
            return f"from {start} {column.unit}{'s' if start != 1 else ''}"
        if column.lookup is not None and column.lookup.identity is not None:
            return str(index)
        return f"hash {index}"


def _interval(boundaries, index) -> str:
    low = f"{boundaries[index - 1]:g}" if index else ""
    if index >= len(boundaries):
        return f"{low} or more"
    high = f"{boundaries[index]:g}"
    return f"{low} to {high}" if low else f"below {high}"
