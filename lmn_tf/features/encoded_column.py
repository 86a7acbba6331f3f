"""How one column of a batch becomes a vector."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class EncodedColumn:
    """What the encoder has to know about one column of a batch.

    Args:
        key: String. The column's key in the features dictionary.
        width: Integer. Width of the vector that it becomes.
        table: Name of its embedding table; `None` for numbers and given vectors.
        rank: Integer. Axes of a cell: 0 for one id or number, 1 for a list of ids or a vector.
            Defaults to `0`.
        weights: Key of the weights of a list, or `None`. Defaults to `None`.

    Example:

    >>> EncodedColumn("price", width=1, table=None).rank
    0
    """

    key: str
    width: int
    table: str | None
    rank: int = 0
    weights: str | None = None

    @classmethod
    def from_view(cls, spec, view, key):
        """Describes a feature of the spec, or a resolved field of one of its sequences.

        Args:
            spec: `FeatureSpec` that holds the column.
            view: Feature, or resolved field of a sequence.
            key: String. The column's key in the features dictionary.

        Returns:
            `EncodedColumn`.
        """
        if view.kind == "vector":
            return cls(key, width=view.size, table=None, rank=1)
        if not view.has_ids:
            return cls(key, width=1, table=None)
        name, table = spec.table_of(view)
        return cls(
            key,
            width=table.dim,
            table=name,
            rank=int(_is_list(spec, view)),
            weights=f"{key}/weights" if view.weights is not None else None,
        )


def _is_list(spec, view):
    """Whether a cell holds several ids; a cross holds one for each value of a crossed list."""
    names = view.of
    if view.kind == "cross" and getattr(view, "like", None) is not None:
        names = spec.feature(view.like).of
    return view.kind == "multi_value" or any(_is_list(spec, spec.feature(name)) for name in names)
