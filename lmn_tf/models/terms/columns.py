"""Columns of a feature spec that identify candidates, users and events."""

import dataclasses
from collections.abc import Collection

from lmn_tf.models.options.base import CTRModelOptions
from lmn_tf.models.options.baselines import BaselineOptions
from lmn_tf.specs.columns import Feature, ResolvedCross, ResolvedField
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec, Sequence
from lmn_tf.specs.yaml.section import Problem


@dataclasses.dataclass(frozen=True)
class Columns:
    """Columns of a feature spec that a row without a network reads.

    Args:
        item: `Feature` that identifies the candidate.
        user: `Feature` that identifies the user, or `None`: the history, the group, or the features
            of role user.
        sequence: `Sequence` whose events are like `item`, or `None`: there is none.
        events: String. Field of `sequence` with the items, or `None`.
        outcome: String. Field of `sequence` with the label of each event, or `None`.
    """

    item: Feature
    user: Feature | None
    sequence: Sequence | None
    events: str | None
    outcome: str | None

    @classmethod
    def of(cls, spec: FeatureSpec, options: BaselineOptions) -> "Columns":
        """Returns the columns that options name, or else those of the spec's own roles.

        Args:
            spec: A `FeatureSpec`.
            options: A `BaselineOptions`.

        Raises:
            UserError: If an option names no such column, or no feature identifies the candidate.

        Example:

        >>> from lmn_tf.models.options import RatesOptions
        >>> Columns.of(spec, RatesOptions()).item.name
        'item_id'
        """
        try:
            return cls.found(spec, options)
        except Problem as problem:
            raise UserError(str(problem)) from None

    @classmethod
    def found(cls, spec: FeatureSpec, options: BaselineOptions) -> "Columns":
        """Returns the same as `of`, and raises `Problem` with the name of the option.

        Args:
            spec: A `FeatureSpec`.
            options: A `BaselineOptions`.
        """
        item = candidate_feature(spec)
        if options.item is not None:
            items = list(_items(spec).values())
            item = _named("item", options.item, items, "a categorical feature of role item")
        if item is None:
            raise Problem(
                (),
                f"the feature spec `{spec.name}` must have a categorical feature of role item, "
                "which identifies the candidate. Received: none",
            )
        user = None
        if options.user is not None:
            users = [one for one in spec.features if one.kind == "categorical"]
            user = _named("user", options.user, users, "a categorical feature")
        sequence, events = _events_like(spec, item)
        if options.outcome is not None:
            fields = () if sequence is None else sequence.fields
            fields = [spec.resolved_field(sequence, field) for field in fields]
            fields = [field for field in fields if is_binary(field)]
            of = "" if sequence is None else f" of `{sequence.name}`"
            rule = f"a categorical field{of} of the numbers 0 and 1 (lookup: {{identity: 2}})"
            _named("outcome", options.outcome, fields, rule)
        return cls(item, user, sequence, events, options.outcome)


def candidate_feature(spec: FeatureSpec) -> Feature | None:
    """Returns the feature that identifies the candidate of a row.

    It is the first categorical feature of role item that a field of a history is like, in the order
    of the fields: the item of an event comes before its category. Without one, it is the first
    categorical feature of role item.

    Args:
        spec: A `FeatureSpec`.

    Returns:
        A `Feature`, or `None`: no feature of role item is categorical.
    """
    items = _items(spec)
    likes = [field.like for sequence in spec.sequences for field in sequence.fields]
    return next((items[name] for name in (*likes, *items) if name in items), None)


def check_item_ids(spec: FeatureSpec, options: CTRModelOptions) -> None:
    """Checks the options that need ids of candidates.

    Args:
        spec: A `FeatureSpec`.
        options: Options of a click model.

    Raises:
        Problem: If the spec has no such ids, and an option needs them.
    """
    if _items(spec):
        return
    for key, off in {"rates": "false", "softmax_weight": "0"}.items():
        value = getattr(options, key, None)
        if value:
            raise Problem(
                (key,),
                f"`{key}` must be {off} for a feature spec without a categorical feature of role "
                f"item. Received: {key}={value} for {spec.name!r}",
            )


def pair_items(spec: FeatureSpec) -> dict[str, tuple[str, ...]]:
    """Returns the item features that may be the columns of the memory of a sequence.

    Args:
        spec: A `FeatureSpec`.

    Returns:
        Names of categorical features of role item that fields are like, by sequence, without
        sequences that have no such field.

    Raises:
        Problem: If no sequence has one.
    """
    found = {}
    for sequence in spec.sequences:
        liked = [spec.feature(field.like) for field in sequence.fields if field.like is not None]
        items = [one.name for one in liked if one.role == "item" and one.kind == "categorical"]
        if items:
            found[sequence.name] = tuple(items)
    if not found:
        raise Problem(
            ("name",),
            "`sequences` of the feature spec must have a field that is like a categorical feature "
            f"of role item, for a memory of pairs. Received: none in {spec.name!r}",
        )
    return found


def pair_cross(spec: FeatureSpec, name: str, item: str) -> ResolvedCross | None:
    """Returns the first cross of a field that is like an item feature, or `None`.

    Args:
        spec: A `FeatureSpec`.
        name: String. A sequence.
        item: String. An item feature.
    """
    alike = {field.name for field in _fields(spec, name) if field.like == item}
    crosses = (cross for cross in spec.event_crosses() if cross.sequence == name)
    return next((cross for cross in crosses if alike & set(cross.of)), None)


def check_pair_outcome(
    spec: FeatureSpec, name: str, items: Collection[str], outcome: str | None
) -> None:
    """Checks the option `outcome`.

    Args:
        spec: A `FeatureSpec`.
        name: String. The sequence of the memory.
        items: Names of item features, one of which the columns of the memory are.
        outcome: Value of `outcome`.

    Raises:
        Problem: If that is no field of the numbers 0 and 1 that is crossed with one of the items.
    """
    if outcome is None:
        return
    crosses = [pair_cross(spec, name, item) for item in items]
    crossed = {field for cross in crosses if cross is not None for field in cross.of}
    binary = [
        field.name
        for field in _fields(spec, name)
        if field.name in crossed and field.lookup and field.lookup.identity == 2
    ]
    if outcome not in binary:
        raise Problem(
            ("outcome",),
            "`outcome` must be a field of the numbers 0 and 1 (lookup: {identity: 2}) that is "
            f"crossed with the items of `{name}`. Received: outcome={outcome!r}."
            f"{did_you_mean(outcome, binary)}",
        )


def _items(spec):
    """Returns the categorical features of role item by name."""
    return {one.name: one for one in spec.features_of("item") if one.kind == "categorical"}


def _events_like(spec, item):
    """Returns the first sequence with a field like `item`, and the name of the field."""
    for sequence in spec.sequences:
        for field in sequence.fields:
            if field.like == item.name:
                return sequence, field.name
    return None, None


def is_binary(field: ResolvedField) -> bool:
    """Returns whether a resolved field of a sequence has the ids of the numbers 0 and 1."""
    return field.kind == "categorical" and field.lookup.identity == 2


def _named(key, name, columns, rule):
    names = [column.name for column in columns]
    if name not in names:
        raise Problem(
            (key,), f"`{key}` must be {rule}. Received: {key}={name!r}.{did_you_mean(name, names)}"
        )
    return columns[names.index(name)]


def _fields(spec, name):
    return next(sequence.fields for sequence in spec.sequences if sequence.name == name)
