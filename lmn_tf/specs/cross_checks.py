"""Rules of a feature spec that involve several columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.specs.errors import did_you_mean, short
from lmn_tf.specs.yaml.section import Problem, to_plain

if TYPE_CHECKING:
    from lmn_tf.specs.feature_spec import FeatureSpec


def check_feature_spec(spec: FeatureSpec) -> None:
    """Raises `Problem` for the first broken rule."""
    _check_names(spec)
    _check_columns(spec)
    _check_crosses(spec)
    _check_sequences(spec)
    _check_tables(spec)


def _check_names(spec):
    seen = set()
    for part, items in (("labels", spec.labels),):
        for index, item in enumerate(items):
            if item.name in seen:
                raise Problem(
                    (part, index, "name"),
                    f"names of labels must differ. Received: {item.name!r} twice",
                )
            seen.add(item.name)
    seen = set()
    for part, items in (("features", spec.features), ("sequences", spec.sequences)):
        for index, item in enumerate(items):
            path = (part, index, "name")
            if item.name == "group":
                raise Problem(
                    path,
                    "`name` must not be 'group', which names the groups of rows."
                    " Received: name='group'",
                )
            if item.name in seen:
                raise Problem(
                    path,
                    f"names of features and sequences must differ. Received: {item.name!r} twice",
                )
            seen.add(item.name)


def _check_columns(spec):
    labels = {label.data_column: label.name for label in spec.labels}
    for index, feature in enumerate(spec.features):
        if feature.kind != "cross" and feature.data_column in labels:
            raise Problem(
                ("features", index, "column" if feature.column else "name"),
                f"`column` of a feature must not be a label's. Received: {feature.data_column!r},"
                f" the column of label `{labels[feature.data_column]}`",
            )
        if feature.kind == "elapsed_time":
            _check_request_time(spec, ("features", index, "kind"))


def _check_request_time(spec, path):
    if spec.request_time is None:
        raise Problem(
            path, "`request_time` must be given at the top for kind elapsed_time. Received: nothing"
        )


def _check_crosses(spec):
    features = {feature.name: feature for feature in spec.features}
    for index, feature in enumerate(spec.features):
        if feature.kind != "cross":
            continue
        lists = []
        for number, name in enumerate(feature.of):
            path = ("features", index, "of", number)
            if name not in features:
                raise Problem(
                    path,
                    f"`of` must name features. Received: {name!r}.{did_you_mean(name, features)}",
                )
            part = features[name]
            if part.kind in ("cross", "vector") or not part.has_ids:
                raise Problem(
                    path,
                    "`of` must name features with ids (categorical, multi_value, elapsed_time, or"
                    f" numeric with `bucketize`). Received: {name!r} of kind {part.kind}",
                )
            lists += [name] if part.kind == "multi_value" else []
        if len(lists) > 1:
            raise Problem(
                ("features", index, "of"),
                f"`of` must name at most one multi_value feature. Received: {lists}",
            )
        roles = {features[name].role for name in feature.of}
        if feature.role != "cross" and roles != {feature.role}:
            raise Problem(
                ("features", index, "role"),
                "`role` of a cross must be 'cross', or the one role of all it is made of."
                f" Received: role={feature.role!r}, made of {', '.join(sorted(roles))}",
            )


def _check_sequences(spec):
    features = {feature.name: feature for feature in spec.features}
    for number, sequence in enumerate(spec.sequences):
        for index, field in enumerate(sequence.fields):
            path = ("sequences", number, "fields", index)
            if field.like is not None:
                _check_like(field, features, path)
            if (field.kind or features[field.like].kind) == "elapsed_time":
                _check_request_time(spec, (*path, "kind" if field.kind else "like"))
        for index, cross in enumerate(sequence.crosses):
            _check_event_cross(spec, sequence, cross, ("sequences", number, "crosses", index))


def _check_event_cross(spec, sequence, cross, path):
    names = [field.name for field in sequence.fields]
    for index, name in enumerate(cross.of):
        if name not in names:
            raise Problem(
                (*path, "of", index),
                f"`of` must name fields of `{sequence.name}`. Received: {name!r}."
                f"{did_you_mean(name, names)}",
            )
        field = spec.resolved_field(sequence, name)
        if not field.has_ids or field.kind in ("multi_value", "elapsed_time"):
            raise Problem(
                (*path, "of", index),
                "`of` must name fields with one id per event (categorical, or numeric with"
                f" `bucketize`). Received: {name!r} of kind {field.kind}",
            )


def _check_like(field, features, path):
    if field.like not in features:
        raise Problem(
            (*path, "like"),
            f"`like` must name a feature. Received: like={field.like!r}."
            f"{did_you_mean(field.like, features)}",
        )
    feature = features[field.like]
    if feature.kind == "cross":
        raise Problem(
            (*path, "like"), f"`like` must not name a cross. Received: like={field.like!r}"
        )
    if field.weights is not None and feature.kind != "multi_value":
        raise Problem(
            (*path, "weights"),
            f"`weights` must be given for kind multi_value only. Received: `weights` for a field"
            f" like {field.like!r} of kind {feature.kind}",
        )


def _own_columns(spec):
    """Yields the path, the column and the key of each feature, and of each field without `like`."""
    for index, feature in enumerate(spec.features):
        yield ("features", index), feature, feature.name
    for number, sequence in enumerate(spec.sequences):
        for index, field in enumerate(sequence.fields):
            if field.like is None:
                path = ("sequences", number, "fields", index)
                yield path, field, f"{sequence.name}.{field.name}"


def _check_tables(spec):
    first, sharers = {}, {}
    for _, column, key in _own_columns(spec):
        sharers.setdefault(column.table, set()).add(key)
    names = set().union(*sharers.values())
    for path, column, key in _own_columns(spec):
        table = column.table
        if table is None:
            if key in spec.tables and column.has_ids:
                raise Problem(
                    (*path, "name"),
                    f"`{key}` must name its table, since one of the same name is listed:"
                    f" write `table: {key}`. Received: no `table`",
                )
            continue
        if table not in spec.tables:
            raise Problem(
                (*path, "table"),
                f"`table` must be listed under `tables`. Received: table={table!r}."
                f"{did_you_mean(table, spec.tables)}",
            )
        if table not in first:
            first[table] = (column, key)
            continue
        _check_same_ids(path, column, *first[table])
        learned = column.lookup is not None and column.lookup.learn is not None
        if learned and table in names and table not in sharers[table]:
            raise Problem(
                ("tables", table),
                f"a table that several columns learn must not bear another feature's name."
                f" Received: {table!r}",
            )
    crossed = _check_cross_tables(spec, first)
    for table in spec.tables:
        if table not in first and table not in crossed:
            raise Problem(("tables", table), f"`tables.{table}` must be used by a column.")


def _check_cross_tables(spec, used):
    """Returns the names of the tables of crosses of fields, each of which is of one cross."""
    seen = set()
    for number, sequence in enumerate(spec.sequences):
        for index, cross in enumerate(sequence.crosses):
            if cross.table is None:
                continue
            path = ("sequences", number, "crosses", index, "table")
            if cross.table not in spec.tables:
                raise Problem(
                    path,
                    f"`table` must be listed under `tables`. Received: table={cross.table!r}."
                    f"{did_you_mean(cross.table, spec.tables)}",
                )
            if cross.table in seen or cross.table in used:
                raise Problem(
                    path,
                    "`table` of a cross of fields must not be shared. Received: "
                    f"table={cross.table!r}",
                )
            seen.add(cross.table)
    return seen


def _check_same_ids(path, column, first_column, first_key):
    rule, first_rule = _ids(column), _ids(first_column)
    if rule != first_rule:
        raise Problem(
            (*path, "table"),
            f"columns that share a table must have the same lookup. Received: table="
            f"{column.table!r}, shared with `{first_key}`: {short(rule)} and {short(first_rule)}",
        )


def _ids(column):
    """Returns the options that determine how a column's values are mapped to ids."""
    if column.kind == "elapsed_time":
        return {"num_buckets": column.num_buckets, "unit": column.unit}
    if column.bucketize is not None:
        return {"transform": to_plain(column.transform)}
    return {"lookup": to_plain(column.lookup)}
