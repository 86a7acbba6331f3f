"""Columns of a feature spec that identify candidates, users and events."""

import dataclasses

from lmn_tf.models.options.baselines import BaselineOptions
from lmn_tf.specs.columns import Feature
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
        items = [one for one in spec.features_of("item") if one.kind == "categorical"]
        if options.item is not None:
            item = _named("item", options.item, items, "a categorical feature of role item")
        else:
            item = next((one for one in items if _events_like(spec, one)[0]), None)
            item = item or next(iter(items), None)
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
            fields = [field for field in fields if _is_binary(field)]
            of = "" if sequence is None else f" of `{sequence.name}`"
            rule = f"a categorical field{of} of the numbers 0 and 1 (lookup: {{identity: 2}})"
            _named("outcome", options.outcome, fields, rule)
        return cls(item, user, sequence, events, options.outcome)


def _events_like(spec, item):
    """Returns the first sequence with a field like `item`, and the name of the field."""
    for sequence in spec.sequences:
        for field in sequence.fields:
            if field.like == item.name:
                return sequence, field.name
    return None, None


def _is_binary(field):
    return field.kind == "categorical" and field.lookup.identity == 2


def _named(key, name, columns, rule):
    names = [column.name for column in columns]
    if name not in names:
        raise Problem(
            (key,), f"`{key}` must be {rule}. Received: {key}={name!r}.{did_you_mean(name, names)}"
        )
    return columns[names.index(name)]
