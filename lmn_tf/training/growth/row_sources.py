"""Mapping from the rows of an embedding table to those of an older one."""

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec

_UNKNOWN_ID = 1
_RULES = ("kind", "transform", "num_buckets", "unit", "of", "size", "table")


class RowSources(NamedTuple):
    """Older rows from which the rows of a table grow.

    Attributes:
        values: Integer array: for each row, the older row whose values it starts with, or -1 for
            new values.
        state: The same for the optimizer's state of a row, which is -1 for all new values.
        size: Number of older rows.
    """

    values: np.ndarray
    state: np.ndarray
    size: int

    @property
    def are_same(self) -> bool:
        """Whether each row grows from the row of the same number, and none is new or gone."""
        return np.array_equal(self.state, np.arange(self.size))


def merge_assets(old: FeatureSpec, new: FeatureSpec) -> None:
    """Merges the ids and statistics of an older spec into a new one; new values get new ids.

    In a learned vocabulary, the values of the older spec come first, in their order, followed by
    new values. If `max_size` is too small for both, older values that the new data lack are
    dropped, the rarest first. Statistics stay those of the older spec, since the weights were
    trained on numbers scaled by them.

    Args:
        old: `FeatureSpec` with its assets.
        new: `FeatureSpec` of the same columns, with assets learned from new data. Changed in place.
    """
    sizes = {
        new.lookup_key(column): column.lookup.learn.max_size
        for column in new.features_and_fields()
        if column.lookup is not None and column.lookup.learn is not None
    }
    for key, statistics in old.assets.statistics.items():
        if not key.startswith("vocabulary/") or key not in new.assets.statistics:
            new.assets.statistics[key] = statistics
    for key, size in sizes.items():
        if key in old.assets.vocabularies:
            values = merge_values(old.assets.vocabularies[key], new.assets.vocabularies[key], size)
            new.assets.vocabularies[key] = values
            note = new.assets.statistics.get(f"vocabulary/{key}", {})
            new.assets.statistics[f"vocabulary/{key}"] = {**note, "count": len(values)}


def merge_values(old: Sequence, new: Sequence, max_size: int | None = None) -> list:
    """Merges two vocabularies, each most frequent first; see `merge_assets`.

    Example:

    >>> merge_values(["a", "b", "c"], ["d", "c"], max_size=3)
    ['a', 'c', 'd']
    """
    known = {str(value) for value in old}
    added = [value for value in new if str(value) not in known]
    if max_size is not None and len(old) + len(added) > max_size:
        wanted = {str(value) for value in new}
        room = max(max_size - len(wanted), 0)
        unseen = [value for value in old if str(value) not in wanted]
        dropped = {str(value) for value in unseen[room:]}
        old = [value for value in old if str(value) not in dropped]
    return [*old, *added]


def check_same_columns(old: FeatureSpec, new: FeatureSpec, source: str) -> None:
    """Raises a `UserError` if ids or numbers of a spec have another meaning than in an older one.

    Args:
        old: `FeatureSpec` of the older run.
        new: `FeatureSpec`.
        source: String. Name of the older run in messages.
    """
    before, now = ([column.key for column in spec.features_and_fields()] for spec in (old, new))
    if before != now:
        changed = [key for key in (*now, *before) if key not in before or key not in now]
        difference = f"`{changed[0]}` is in one of them only" if changed else "their order differs"
        raise UserError(
            f"the feature spec must have the columns of {source} for a warm start: {difference}. "
            f"Received: {', '.join(now)}; before: {', '.join(before)}"
        )
    for older, newer in zip_longest(old.event_crosses(), new.event_crosses()):
        if older is None or newer is None or (older.key, older.of) != (newer.key, newer.of):
            raise UserError(
                f"the feature spec must have the crosses of fields of {source} for a warm start. "
                f"Received: {_crosses(new)}; before: {_crosses(old)}"
            )
    for older, newer in zip(old.features_and_fields(), new.features_and_fields(), strict=True):
        pairs = [(rule, getattr(older, rule), getattr(newer, rule)) for rule in _RULES]
        if older.lookup is not None and newer.lookup is not None:
            pairs.append(("lookup", older.lookup.method, newer.lookup.method))
            pairs.append(("lookup.hash", older.lookup.hash, newer.lookup.hash))
        for rule, was, is_now in pairs:
            if was != is_now:
                raise UserError(
                    f"`{rule}` of `{newer.name}` must stay as in {source} for a warm start, "
                    f"{short(was)}. Received: {rule}={short(is_now)}"
                )


def _crosses(spec):
    return ", ".join(f"{cross.key} of {list(cross.of)}" for cross in spec.event_crosses()) or "none"


def row_sources(old: FeatureSpec, new: FeatureSpec) -> dict[str, RowSources]:
    """Finds, for each row of each embedding table, the older row of the same value.

    A value without an older row starts as a copy of the row of unknown values, which represented it
    before, so that scores do not change. Its optimizer state is new.

    Args:
        old: `FeatureSpec` of the older run, with its assets.
        new: `FeatureSpec`, with its assets.

    Returns:
        Dictionary from the name of a table to its `RowSources`.
    """
    sources: dict[str, RowSources] = {}
    for older, newer in zip(old.features_and_fields(), new.features_and_fields(), strict=True):
        if newer.has_ids:
            # Columns that share a table have the same lookup, so the first one is enough.
            name, _ = new.table_of(newer)
            sources.setdefault(name, _column_sources(old, older, new, newer))
    for feature in new.features:
        if feature.kind == "cross":
            _check_parts(new, feature, sources)
    for cross in new.event_crosses():
        fields = (new.resolved_field(cross.sequence, name) for name in cross.of)
        parts = [sources[new.table_of(field)[0]] for field in fields]
        sources[new.table_of(cross)[0]] = combined(parts)
    return sources


def combined(parts: Sequence[RowSources]) -> RowSources:
    """Returns the sources of the rows of combinations of ids.

    Args:
        parts: The sources of the rows of each id. The rows of combinations are in the order of
            `CrossedIds`: those of the last part are next to each other.

    Example:

    >>> items = RowSources(np.array([0, 1, 2, 1]), np.array([0, 1, 2, -1]), 3)
    >>> likes = RowSources(np.arange(2), np.arange(2), 2)
    >>> combined([items, likes]).values.tolist()
    [0, 1, 2, 3, 4, 5, 2, 3]
    """
    sizes = [part.size for part in parts]
    ids = zip(*((part.values, part.state) for part in parts), strict=True)
    return RowSources(*(_combinations(one, sizes) for one in ids), math.prod(sizes))


def _check_parts(spec, cross, sources):
    """Raises a `UserError` if ids that a cross of features hashes have moved."""
    for name in cross.of:
        part = sources[spec.table_of(spec.feature(name))[0]]
        if not np.array_equal(part.state[: part.size], np.arange(part.size)):
            raise UserError(
                f"`{name}` must keep its ids for a warm start, since the cross `{cross.name}` "
                "hashes them. Received: another order, or values that are gone (`max_size`)"
            )


def _combinations(ids, sizes):
    rows = np.zeros(1, int)
    for part, size in zip(ids, sizes, strict=True):
        known = (rows[:, None] >= 0) & (part >= 0)
        rows = np.where(known, rows[:, None] * size + part, -1).reshape(-1)
    return rows


def _column_sources(old, older, new, newer) -> RowSources:
    before, size = old.input_size(older), new.input_size(newer)
    values = new.vocabulary(newer)
    if values is None:
        ids = np.arange(size)
        ids = np.where(ids < before, ids, -1)
    else:
        known = {str(value): id_ for id_, value in enumerate(old.vocabulary(older), 2)}
        ids = np.array([0, 1, *(known.get(str(value), -1) for value in values)])
    was_unknown = newer.lookup is not None and newer.lookup.unknown == "own_id"
    return RowSources(np.where(ids < 0, _UNKNOWN_ID, ids) if was_unknown else ids, ids, before)
