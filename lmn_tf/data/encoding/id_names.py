"""Readable names of the ids of a column."""

from typing import Any

from lmn_tf.specs.feature_spec import FeatureSpec

RESERVED = ("(none)", "(unknown)")


class IdNames:
    """Converts the ids of a column back into names.

    Args:
        spec: `FeatureSpec` with its assets.
        view: Feature, or resolved field of a sequence, that has ids.

    Example:

    >>> names = IdNames(spec, spec.feature("hour"))
    >>> names(25), names(1)
    ('23', '(unknown)')
    """

    def __init__(self, spec: FeatureSpec, view: Any) -> None:
        self._vocabulary = spec.vocabulary(view)
        self._view = view
        self._boundaries = None
        if view.bucketize is not None:
            learned = spec.assets.statistics.get(view.key, {}).get("quantiles")
            self._boundaries = learned if view.bucketize.learned else view.bucketize.bucketize

    def __call__(self, id_) -> str:
        """Returns the name of an id."""
        id_ = int(id_)
        if id_ < len(RESERVED):
            return RESERVED[id_]
        index, view = id_ - len(RESERVED), self._view
        if self._vocabulary is not None:
            return str(self._vocabulary[index])
        if self._boundaries is not None:
            return _interval(self._boundaries, index)
        if view.kind == "elapsed_time":
            start = 0 if index == 0 else 2 ** (index - 1)
            return f"from {start} {view.unit}{'s' if start != 1 else ''}"
        if view.lookup is not None and view.lookup.identity is not None:
            return str(index)
        return f"hash {index}"


def _interval(boundaries, index) -> str:
    low = f"{boundaries[index - 1]:g}" if index else ""
    if index >= len(boundaries):
        return f"{low} or more"
    high = f"{boundaries[index]:g}"
    return f"{low} to {high}" if low else f"below {high}"
