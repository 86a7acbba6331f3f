"""The small feature spec of tests: its columns, and a builder of variations."""

import copy

# Role and kind of the features. Lookups, transforms and tables belong to a variation.
_FEATURES = {
    "user": ("user", "categorical"),
    "age": ("user", "numeric"),
    "income": ("user", "numeric"),
    "rank": ("item", "numeric"),
    "item": ("item", "categorical"),
    "tags": ("item", "multi_value"),
    "topics": ("item", "multi_value"),
    "price": ("item", "numeric"),
    "look": ("item", "vector"),
    "picture": ("item", "vector"),
    "hour": ("context", "categorical"),
    "agent": ("context", "categorical"),
    "since": ("context", "elapsed_time"),
    "age_x_tags": ("cross", "cross"),
}
# Kinds of the fields of events that have no feature. Others are `like` the feature of their name.
_FIELDS = {"elapsed": "elapsed_time", "dwell": "numeric", "sound": "vector"}
_SETTINGS = {"tags": {"weights": "tag_weights"}, "age_x_tags": {"of": ["age", "tags"]}}


def small_spec(name, features, fields, sequence, prefix, **keys):
    """Returns a feature spec as plain data: selected columns with the settings of a variation.

    Args:
        name: String. Name of the spec.
        features: Mapping from the name of a feature to its settings, such as the lookup.
        fields: Mapping from the name of a field to its settings.
        sequence: Mapping with the name, length and other keys of the only sequence.
        prefix: String. Prefix of the columns of fields.
        **keys: Other keys of the spec, such as `tables`.
    """
    spec = {
        "spec_version": 1,
        "name": name,
        "group": "user",
        "request_time": "time",
        "labels": [{"name": "click"}],
        **keys,
        "features": [_feature(name, settings) for name, settings in features.items()],
        "sequences": [
            {**sequence, "fields": [_field(name, prefix, fields[name]) for name in fields]}
        ],
    }
    return copy.deepcopy(spec)


def _feature(name, settings):
    role, kind = _FEATURES[name]
    return {"name": name, "role": role, "kind": kind, **_SETTINGS.get(name, {}), **settings}


def _field(name, prefix, settings):
    column = f"{prefix}_{'time' if name == 'elapsed' else name}"
    source = {"kind": _FIELDS[name]} if name in _FIELDS else {"like": name}
    return {"name": name, "column": column, **source, **settings}
