"""What the ids of a column stand for, in words."""

RESERVED = ("(none)", "(unknown)")


class IdNames:
    """Turns the ids of a column back into what they stand for.

    Args:
        spec: `FeatureSpec` with its assets.
        view: Feature, or resolved field of a sequence, that has ids.

    Example:

    >>> names = IdNames(spec, spec.feature("hour"))
    >>> names(25), names(1)
    ('23', '(unknown)')
    """

    def __init__(self, spec, view):
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
        place, view = id_ - len(RESERVED), self._view
        if self._vocabulary is not None:
            return str(self._vocabulary[place])
        if self._boundaries is not None:
            return _interval(self._boundaries, place)
        if view.kind == "elapsed_time":
            start = 0 if place == 0 else 2 ** (place - 1)
            return f"from {start} {view.unit}{'s' if start != 1 else ''}"
        if view.lookup is not None and view.lookup.identity is not None:
            return str(place)
        return f"hash {place}"


def _interval(boundaries, place) -> str:
    low = f"{boundaries[place - 1]:g}" if place else ""
    if place >= len(boundaries):
        return f"{low} or more"
    high = f"{boundaries[place]:g}"
    return f"{low} to {high}" if low else f"below {high}"
