"""A spec with every kind, lookup and transform, and rows with all that can be missing."""

import random

import numpy as np
import pyarrow as pa
from id_forms import TEXTS

from lmn_tf.specs.feature_spec import FeatureSpec

# Lookups by name, and a value that each of them knows.
LOOKUPS = {
    "hashed": ({"hash": 1000}, "7"),
    "ranked": ({"identity": 100}, 7),
    "named": ({"vocabulary": ["7", "007", "é", " a", "", 'say "a, b"']}, "007"),
    "numbered": ({"vocabulary": [7, -5, 2**62]}, 7),
    "learned": ({"learn": {}}, "red"),
}
_PADDED, _FILLED, _LISTS = ("ranked",), ("hashed", "named"), ("ranked", "named", "learned")
_FIELDS = ("hashed", "learned", "ranked_padded", "list_named", "filled", "cut_learned", "look")
LEARNED = ["red", "7", "two\nlines", "100000", str(2**64), "\r", "a" * 200]
TRANSFORMS = {
    "plain": ([], None),
    "filled": (["log1p"], 2.5),
    "scaled": (["standardize", {"min_max": [-3, 5]}], -1),
    "ranged": (["min_max"], 0),
    "cut": ([{"bucketize": [-1.5, 0, 2, 2.0000000000000004, 1e6]}], None),
    "cut_filled": (["log1p", {"bucketize": [0.5, 1, 2]}], 3),
    "cut_learned": (["log1p", "standardize", {"bucketize": {"quantiles": 20}}], None),
}
STATISTICS = {"mean": 1.1, "std": 0.7, "min": -2.0, "max": 1e6}


def raw_spec(by_reference=False, time_unit="second", keep="newest"):
    """Returns the spec, with all that is learned."""
    features = list(_features())
    fields = [
        {"name": f["name"], "column": f"h_{f['name']}", "like": f["name"]}
        for f in features
        if f["name"] in _FIELDS
    ]
    fields = [{**f, "weights": "h_weights"} if f["name"] == "list_named" else f for f in fields]
    fields.append({"name": "gap", "column": "h_time", "kind": "elapsed_time", "num_buckets": 20})
    spec = {
        "spec_version": 1,
        "name": "raw",
        "group": "user",
        "request_time": "time",
        "time_unit": time_unit,
        "embedding_dim": 2,
        "labels": [{"name": "click"}],
        "features": features,
        "sequences": [{"name": "past", "max_length": 4, "keep": keep, "fields": fields}],
    }
    if by_reference:
        spec["sequences"][0]["events"] = {"file": "events.arrow", "user": "user", "count": "count"}
    spec = FeatureSpec.from_dict(spec)
    for column in spec.features_and_fields():
        if column.lookup is not None and column.lookup.learn is not None:
            spec.assets.vocabularies[spec.lookup_key(column)] = LEARNED
        if column.needs_statistics:
            # Boundaries that data are equal to, after the steps before them.
            cuts = np.log1p(np.arange(19) / 3).tolist()
            spec.assets.statistics[column.key] = {**STATISTICS, "quantiles": cuts}
    return spec


def _features():
    for name, (lookup, known) in LOOKUPS.items():
        column = {"role": "item", "kind": "categorical", "lookup": lookup}
        yield {"name": name, **column}
        if name in _PADDED:
            yield {"name": f"{name}_padded", **column, "lookup": {**lookup, "unknown": "padding"}}
        if name in _FILLED:
            yield {"name": f"{name}_filled", **column, "default": known, "role": "user"}
        if name in _LISTS:
            weights = {"weights": "list_named_weights"} if name == "named" else {}
            lists = {"kind": "multi_value", "max_values": 3, **weights}
            yield {"name": f"list_{name}", **column, **lists}
    for name, (transform, default) in TRANSFORMS.items():
        number = {"role": "context", "kind": "numeric", "transform": transform}
        yield {"name": name, **number, **({} if default is None else {"default": default})}
    yield {"name": "look", "role": "item", "kind": "vector", "size": 3}
    yield {"name": "since", "role": "context", "kind": "elapsed_time", "unit": "minute"}
    cross = {"role": "cross", "kind": "cross", "lookup": {"hash": 97}}
    yield {"name": "pair", **cross, "of": ["hashed_filled", "ranked_padded"]}
    yield {"name": "lists", **cross, "of": ["cut", "list_learned", "named"]}


def raw_rows(spec, count=200, seed=0, events=6):
    """Returns an Arrow table of random rows, histories as lists in the rows."""
    draw = random.Random(seed)
    rows = [_row(spec, draw, events) for _ in range(count)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return pa.table(columns)


def _row(spec, draw, events):
    per_second = {"second": 1, "millisecond": 10**3, "nanosecond": 10**9}[spec.time_unit]
    now = draw.randrange(1_700_000_000 * per_second, 1_800_000_000 * per_second)
    row = {"user": f"u{draw.randrange(9)}", "time": now, "list_named_weights": None}
    for feature in spec.features:
        if feature.kind != "cross":
            row[feature.name] = _cell(feature, draw, now, per_second)
    row["list_named_weights"] = _weights(draw, row["list_named"])
    length = draw.randrange(events + 1)
    for field in spec.sequences[0].fields:
        column = spec.resolved_field("past", field)
        row[column.data_column] = [_cell(column, draw, now, per_second) for _ in range(length)]
    row["h_weights"] = [_weights(draw, one) for one in row["h_list_named"]]
    return row


def _weights(draw, values):
    return None if values is None else [draw.randrange(9) / 8 for _ in values]


def _cell(column, draw, now, per_second):
    kind = column.kind
    if kind == "vector":
        return [draw.gauss(0, 1) for _ in range(column.size)]
    if kind == "elapsed_time":
        ago = draw.choice([0, 2 ** draw.randrange(30), 60 * 2 ** draw.randrange(20)])
        return None if draw.random() < 0.1 else now - ago * per_second - draw.choice([0, 1])
    if kind == "numeric":
        return _number(column, draw)
    if kind == "multi_value":
        few = [_text(column, draw) for _ in range(draw.randrange(6))]
        return None if draw.random() < 0.1 else few
    return _text(column, draw)


def _number(column, draw):
    if draw.random() < 0.1 and (column.default is not None or column.bucketize is not None):
        return draw.choice([None, float("nan")])
    steps = [0, 1, 2, 2.0000000000000004, -0.75, 1e6, -1.5, 3.7e30]
    number = draw.choice([*steps, draw.randrange(19) / 3, draw.lognormvariate(0, 4)])
    return abs(number) if "log1p" in column.transform else number


def _text(column, draw):
    if draw.random() < 0.1:
        return None
    if column.lookup.identity is not None:
        few = ["7", "007", "+7", "\u2003 7.0", "-0", "-3", "99", "100", "9" * 30, str(2**63)]
        return draw.choice([*few, str(draw.randrange(120))])
    length = draw.choice([1, 2, 127, 128, 129, 300])
    some = "".join(draw.choices("ab7é\n\u4e2d ", k=length))
    return draw.choice([*TEXTS, *LEARNED, "", some, str(draw.randrange(10**6))])
