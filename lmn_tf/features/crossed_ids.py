"""Ids of the combinations of fields of an event."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import tensorflow as tf

from lmn_tf.specs.columns import ResolvedCross
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.yaml.section import MAX_IDS


@dataclasses.dataclass(frozen=True)
class CrossedIds:
    """Map from the ids of fields of an event to one id of their combination, without collisions.

    `id = (id_1 * size_2 + id_2) * size_3 + ...`, and 0 if one of them is padding. The first field
    counts most, so that its new values get the last rows of a table.

    Args:
        key: String. Name of the cross, `"SEQUENCE/CROSS"`.
        fields: Tuple of the keys of the fields in a features dictionary.
        sizes: Tuple of the numbers of ids of the fields.
        table: Name of the embedding table of the cross.

    Example:

    >>> cross = CrossedIds("clicks/item_x_liked", ("clicks/item", "clicks/liked"), (5, 4), "cross")
    >>> cross.ids([tf.constant([2, 4, 0]), tf.constant([3, 2, 2])]).numpy()
    array([11, 18,  0], dtype=int32)
    """

    key: str
    fields: tuple[str, ...]
    sizes: tuple[int, ...]
    table: str

    @classmethod
    def of(cls, spec: FeatureSpec, cross: ResolvedCross, sizes: Mapping[str, int]) -> CrossedIds:
        """Returns the map of a cross of a spec.

        Args:
            spec: `FeatureSpec`.
            cross: One of its crosses of fields.
            sizes: Mapping from the name of each table to its number of rows.

        Raises:
            UserError: If there are more combinations than ids.
        """
        fields = [spec.resolved_field(cross.sequence, name) for name in cross.of]
        counts = tuple(sizes[spec.table_of(field)[0]] for field in fields)
        if math.prod(counts) > MAX_IDS:
            raise UserError(
                f"`of` of `{cross.key}` must have at most {MAX_IDS:,} combinations of ids. "
                f"Received: {' * '.join(f'{count:,}' for count in counts)}"
            )
        keys = tuple(f"{cross.sequence}/{name}" for name in cross.of)
        return cls(f"{cross.sequence}/{cross.name}", keys, counts, spec.table_of(cross)[0])

    @property
    def num_ids(self) -> int:
        """Number of ids, rows of the table."""
        return math.prod(self.sizes)

    def ids(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the ids of combinations.

        Args:
            parts: List of int32 tensors of one shape: the ids of each field.

        Returns:
            int32 tensor of that shape.
        """
        crossed, padding = tf.zeros_like(parts[0]), tf.constant(False)
        for ids, size in zip(parts, self.sizes, strict=True):
            crossed = crossed * size + ids
            padding = padding | tf.equal(ids, 0)
        return tf.where(padding, 0, crossed)
