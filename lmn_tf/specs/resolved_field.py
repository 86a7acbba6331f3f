"""A field of a sequence with all that its liked feature tells filled in."""

import dataclasses

from lmn_tf.specs.column import ColumnMethods
from lmn_tf.specs.lookup import Lookup


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolvedField(ColumnMethods):
    """What `FeatureSpec.resolved_field` returns: reads like a `Feature`.

    Args:
        sequence: Name of the sequence.
        like: Name of the feature it is like, or `None`.
        **others: As of `Feature`; `role` is `"sequence"` and `of` is empty.
    """

    sequence: str
    name: str
    column: str | None
    like: str | None
    kind: str
    lookup: Lookup | None = None
    table: str | None = None
    transform: tuple = ()
    default: int | float | str | None = None
    weights: str | None = None
    max_values: int = 16
    separator: str = "|"
    size: int | None = None
    num_buckets: int = 32
    unit: str = "second"
    role: str = "sequence"
    of: tuple = ()

    @property
    def key(self):
        """The field's name in `Assets`: the liked feature's, or `"<sequence>.<field>"`."""
        return self.like if self.like is not None else f"{self.sequence}.{self.name}"
