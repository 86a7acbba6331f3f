"""A feature spec with every kind, role and transform, and batches that fit it."""

import copy

import numpy as np
from padded_batch import padded
from small_spec import small_spec

from lmn_tf.specs.feature_spec import FeatureSpec

KITCHEN_SINK = small_spec(
    "kitchen-sink",
    features={
        "user": {"lookup": {"hash": 50}},
        "age": {"transform": ["log1p", {"bucketize": [1, 2]}]},
        "income": {"transform": "standardize"},
        "rank": {"transform": "min_max"},
        "item": {"lookup": {"identity": 40}, "table": "item"},
        "tags": {"lookup": {"identity": 9}, "table": "tag"},
        "topics": {"lookup": {"hash": 200}, "table": "topic"},
        "picture": {"size": 5},
        "since": {},
        "hour": {"lookup": {"vocabulary": ["early", "late"]}},
        "age_x_tags": {"lookup": {"hash": 30}},
    },
    fields={
        "item": {},
        "tags": {},
        "topics": {},
        "hour": {},
        "elapsed": {},
        "dwell": {},
        "sound": {"size": 3},
    },
    sequence={"name": "clicks", "max_length": 20},
    prefix="c",
    embedding_dim=4,
    tables={
        "item": {"dim": 6},
        "tag": {"dim": 3, "combiner": "sqrtn"},
        "topic": {"dim": 2, "combiner": "sum", "initializer": "uniform"},
    },
)

SMALL = {"hidden_units": (8, 4)}
SMALL_ATTENTION = {**SMALL, "attention_units": (6,)}
SMALL_MEMORY = {**SMALL_ATTENTION, "num_keys": 6, "top_k": 4}
SMALL_TOKENS = {**SMALL_ATTENTION, "num_tokens": 2, "token_dim": 8, "expansion": 2}
SMALL_SEARCH = {
    "search_top_k": 3,
    "short_length": 2,
    "search_units": 4,
    "search_hidden_units": (6,),
    "found_units": 4,
}
SMALL_INTERESTS = {"num_slots": 3, "controller_units": 5}
SMALL_OPTIONS = {
    "dnn": SMALL,
    "pooling": SMALL,
    "strong_pooling": SMALL,
    "din": SMALL_ATTENTION,
    "dien": {**SMALL_ATTENTION, "auxiliary_units": (5,)},
    "mimn": {**SMALL_ATTENTION, **SMALL_INTERESTS},
    "lmn": SMALL_MEMORY,
    "lmn_sim": {**SMALL_MEMORY, **SMALL_SEARCH},
    "lmn_mimn": {**SMALL_MEMORY, **SMALL_INTERESTS},
    "lmn_pair": {**SMALL, "pair_slots": 500, "pair_values": "trained"},
    "lmn_control": SMALL_ATTENTION,
    "sim": {**SMALL_ATTENTION, **SMALL_SEARCH},
    "sasrec": {**SMALL, "max_positions": 4, "history_dropout": 0.0},
    "ubr4ctr": {**SMALL, "top_k": 2, "selector_units": 4, "selector_hidden_units": (5,)},
    "rankmixer": SMALL_TOKENS,
    "sparse_moe": {**SMALL_TOKENS, "routed_experts": 4, "active_experts": 2},
    "msn": {**SMALL_TOKENS, "num_keys": 6, "top_k": 4, "key_dim": 5},
    "two_tower": {**SMALL, "tower_dim": 4},
    "lmn_two_tower": {**SMALL, "num_keys": 6, "top_k": 4, "tower_dim": 4},
    "imn": {**SMALL, "num_walks": 2, "num_enhancements": 1, "attention_units": 6},
}


def kitchen_sink_spec(**changes):
    """Returns the kitchen sink's spec, with top-level keys replaced."""
    return FeatureSpec.from_dict({**copy.deepcopy(KITCHEN_SINK), **changes})


def slim_spec(**changes):
    """Returns a spec with only the columns that a model with a memory needs: quick to trace."""
    kept = ("user", "item", "tags")
    clicks = KITCHEN_SINK["sequences"][0]
    return kitchen_sink_spec(
        **{
            "tables": {name: KITCHEN_SINK["tables"][name] for name in ("item", "tag")},
            "features": [f for f in KITCHEN_SINK["features"] if f["name"] in kept],
            "sequences": [{**clicks, "fields": [clicks["fields"][i] for i in (0, 1, 4)]}],
            **changes,
        }
    )


def timeless_spec(**changes):
    """Returns the slim spec without elapsed time: all fields of an event depend on it alone."""
    clicks = KITCHEN_SINK["sequences"][0]
    return slim_spec(sequences=[{**clicks, "fields": clicks["fields"][:2]}], **changes)


def random_features(spec, rows=6, length=5, values=3, seed=0):
    """Returns the features dictionary of random rows, padded on the right."""
    rng = np.random.default_rng(seed)
    features = {}
    for feature in spec.features:
        _add(features, spec, feature, feature.name, (rows,), values, rng)
    for sequence in spec.sequences:
        lengths = rng.integers(1, length + 1, rows)
        lengths[0] = length
        mask = np.arange(length) < lengths[:, None]
        features[f"{sequence.name}/mask"] = mask
        for field in sequence.fields:
            column, key = spec.resolved_field(sequence, field), f"{sequence.name}/{field.name}"
            _add(features, spec, column, key, (rows, length), values, rng)
            for name in (key, f"{key}/weights"):
                if name in features:
                    cells = features[name]
                    kept = mask.reshape(mask.shape + (1,) * (cells.ndim - 2))
                    features[name] = (cells * kept).astype(cells.dtype)
    features["group"] = rng.integers(0, 3, rows)
    return features


def shared_features(spec, runs=((0, 3, 3), (2, 4, 5, 5), (0,), (1,)), values=3, max_length=3):
    """Returns the same rows twice: with histories of events and windows, and padded.

    Args:
        spec: `FeatureSpec`.
        runs: For each user how many events precede each of the rows.
        values: Integer. Longest list of values.
        max_length: Integer. Longest history of a row, its newest events.
    """
    rng = np.random.default_rng(1)
    counts = np.array([count for run in runs for count in run])
    users = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
    features = {}
    for feature in spec.features:
        _add(features, spec, feature, feature.name, (len(counts),), values, rng)
        if feature.role == "user":
            first_rows = np.searchsorted(users, users)
            features[feature.name] = features[feature.name][first_rows]
    features["group"] = users
    lengths = np.minimum(counts, max_length)
    for sequence in spec.sequences:
        first, events = [], 0
        for run in runs:
            begin = min(max(count - max_length, 0) for count in run)
            first += [events + max(count - max_length, 0) - begin for count in run]
            events += max(run) - begin
        features[f"{sequence.name}/first"] = np.array(first, "int32")
        features[f"{sequence.name}/length"] = lengths.astype("int32")
        for field in sequence.fields:
            column, key = spec.resolved_field(sequence, field), f"{sequence.name}/{field.name}"
            if column.of_pairs:  # few buckets, as of rows that are close in time
                features[key] = rng.integers(1, 3, lengths.sum()).astype("int32")
            else:
                _add(features, spec, column, key, (events,), values, rng)
    return features, padded(features, spec.sequences)


def request_features(spec, events=3, candidates=4, values=3, seed=0):
    """Returns one user and many candidates twice: as they are, and with a window for each row.

    Args:
        spec: `FeatureSpec`.
        events: Integer. Events of each history.
        candidates: Integer. Rows.
        values: Integer. Longest list of values.
        seed: Integer.
    """
    rng = np.random.default_rng(seed)
    request, windows = {}, {}
    for feature in spec.features:
        of_user = feature.role == "user"
        own = {}
        _add(own, spec, feature, feature.name, (1 if of_user else candidates,), values, rng)
        request |= own
        for key, cells in own.items():
            windows[key] = np.repeat(cells, candidates, axis=0) if of_user else cells
    for sequence in spec.sequences:
        windows[f"{sequence.name}/first"] = np.zeros(candidates, "int32")
        windows[f"{sequence.name}/length"] = np.full(candidates, events, "int32")
        for field in sequence.fields:
            column, own = spec.resolved_field(sequence, field), {}
            _add(own, spec, column, f"{sequence.name}/{field.name}", (events,), values, rng)
            request |= own
            for key, cells in own.items():
                by_pair = column.of_pairs
                windows[key] = np.tile(cells, candidates) if by_pair else cells
    return request, windows


def _add(features, spec, column, key, shape, values, rng):
    if column.kind == "vector":
        features[key] = rng.normal(size=(*shape, column.size)).astype("float32")
    elif not column.has_ids:
        features[key] = rng.normal(size=shape).astype("float32")
    else:
        if column.kind in ("multi_value", "cross"):
            shape = (*shape, values)
        features[key] = rng.integers(1, spec.input_size(column), shape).astype("int32")
        if column.kind in ("multi_value", "cross"):
            features[key][..., 1:] *= rng.integers(0, 2, (*shape[:-1], values - 1)).astype("int32")
        if column.weights is not None:
            features[f"{key}/weights"] = rng.random(shape).astype("float32")


def random_labels(rows=6, count=1, seed=0):
    """Returns random labels of both classes, of shape `(rows, count)`."""
    labels = np.random.default_rng(seed).integers(0, 2, (rows, count)).astype("float32")
    labels[:2] = [[0.0] * count, [1.0] * count]
    return labels


def repadded(features, spec, left, extra, seed=1):
    """Returns the same rows with `extra` more padded steps, full of junk, on one side."""
    rng = np.random.default_rng(seed)
    changed = dict(features)
    for key, cells in features.items():
        name = key.split("/")[0]
        if name not in [sequence.name for sequence in spec.sequences]:
            continue
        mask = features[f"{name}/mask"]
        rows, length = mask.shape
        shape = (rows, length + extra, *cells.shape[2:])
        if key.endswith("/mask"):
            wide = np.zeros(shape, bool)
        elif cells.dtype == np.int32:
            wide = rng.integers(1, 4, shape).astype("int32")
        else:
            wide = rng.normal(size=shape).astype("float32")
        for row in range(rows):
            count = int(mask[row].sum())
            start = length + extra - count if left else 0
            wide[row, start : start + count] = cells[row, :count]
        changed[key] = wide
    return changed


def read_with_and_without_memory(plugged, host, options, host_options):
    """What a model with a memory and its host read of the same histories with the same weights."""
    spec = kitchen_sink_spec()
    model, alone = plugged(spec, **options), host(spec, **host_options)
    model.build()
    alone.build()
    taken = {weight.path.split("/", 1)[1]: weight for weight in model.weights}
    for weight in alone.weights:
        if "/head/" not in weight.path:
            weight.assign(taken[weight.path.split("/", 1)[1]])
    features = random_features(spec)
    return tuple(one.read_histories(one.encoder.encode(features)) for one in (model, alone))
