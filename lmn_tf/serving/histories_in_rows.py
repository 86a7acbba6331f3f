"""Spec of requests that carry their histories."""

from lmn_tf.specs.feature_spec import FeatureSpec


def with_histories_in_rows(spec: FeatureSpec) -> FeatureSpec:
    """Returns a spec whose histories by reference are lists in the rows instead.

    The column `COLUMN` of the events of `SEQUENCE` is the column `SEQUENCE__COLUMN` of the rows, as
    in the signature `serving_raw` of exports: events may have columns of the same names as rows.
    What was learned for the spec is shared.

    Args:
        spec: `FeatureSpec`.

    Example:

    >>> item = {"name": "item", "role": "item", "kind": "categorical", "lookup": {"hash": 9}}
    >>> events = {"file": "events.arrow", "user": "user", "count": "count"}
    >>> history = {"name": "history", "max_length": 5, "events": events,
    ...            "fields": [{"name": "item", "like": "item"}]}
    >>> some = lmn_tf.FeatureSpec.from_dict({"spec_version": 1, "name": "shop",
    ...     "labels": [{"name": "click"}], "features": [item], "sequences": [history]})
    >>> some.history_columns(), with_histories_in_rows(some).history_columns()
    (('user', 'count'), ('history__item',))
    """
    document = spec.to_dict()
    for sequence in document.get("sequences", ()):
        if sequence.pop("events", None) is None:
            continue
        for field in sequence["fields"]:
            field["column"] = f"{sequence['name']}__{field.get('column', field['name'])}"
            if "weights" in field:
                field["weights"] = f"{sequence['name']}__{field['weights']}"
    changed = FeatureSpec.from_dict(document, base_dir=spec.base_dir)
    vars(changed.assets).update(vars(spec.assets))
    return changed
