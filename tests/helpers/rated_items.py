"""Users who rate items one after another: as arrays, as files, and as lists for slow twins."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.feature_spec import FeatureSpec

MAX_LENGTH = 5
ITEMS = 9
_FIELDS = {"item": {"like": "item"}, "liked": {"kind": "categorical", "lookup": {"identity": 2}}}


def rated_dict(by_reference=True, **keys):
    """The spec as plain data; `keys` replace those at the top."""
    fields = [{"name": name, **field} for name, field in _FIELDS.items()]
    if not by_reference:
        fields = [{**field, "column": f"h_{field['name']}"} for field in fields]
    events = {"events": {"file": "events.arrow", "user": "user", "count": "count"}}
    history = {"name": "history", "max_length": MAX_LENGTH, "fields": fields}
    return {
        "spec_version": 1,
        "name": "rated",
        "group": "user",
        "labels": [{"name": "like"}],
        "features": [
            {"name": "user", "role": "user", "kind": "categorical", "lookup": {"identity": 50}},
            {"name": "item", "role": "item", "kind": "categorical", "lookup": {"identity": ITEMS}},
            {"name": "hour", "role": "context", "kind": "categorical", "lookup": {"identity": 24}},
        ],
        "sequences": [{**history, **(events if by_reference else {})}],
        **keys,
    }


def rated_spec(**options):
    """The spec, with the arguments of `rated_dict`."""
    return FeatureSpec.from_dict(rated_dict(**options))


def ratings(users=14, seed=1):
    """A list of (item, liked) for each user, in the order of time."""
    draw = random.Random(seed)
    tastes = [[draw.random() for _ in range(ITEMS)] for _ in range(3)]
    found = []
    for user in range(users):
        items = draw.choices(range(ITEMS), k=draw.randrange(4, 14))
        found.append([(item, int(draw.random() < tastes[user % 3][item])) for item in items])
    return found


def split(found):
    """Rows (user, position) of training, validation and test: the last two of each user."""
    rows = {"train": [], "valid": [], "test": []}
    for user, some in enumerate(found):
        rows["train"] += [(user, at) for at in range(len(some) - 2)]
        rows["valid"].append((user, len(some) - 2))
        rows["test"].append((user, len(some) - 1))
    return rows


def history(found, user, at):
    """The newest events before a row."""
    return found[user][max(at - MAX_LENGTH, 0) : at]


def rated(found, rows, outcomes=True):
    """Rows as `Interactions` with histories by reference; ids are those of the spec."""
    first = np.cumsum([0, *map(len, found)])
    events = [event for some in found for event in some]
    lengths = np.array([min(at, MAX_LENGTH) for _, at in rows], np.int32)
    ends = np.array([first[user] + at for user, at in rows], np.int64)
    return Interactions(
        items=np.array([found[user][at][0] + 2 for user, at in rows], np.int32),
        users=np.array([first[user] for user, _ in rows], np.int64),
        labels=np.array([[found[user][at][1]] for user, at in rows], np.float32),
        weights=None,
        groups=np.array([user for user, _ in rows], np.int64),
        starts=ends - lengths,
        lengths=lengths,
        event_items=np.array([item + 2 for item, _ in events], np.int32),
        event_outcomes=np.array([liked for _, liked in events], np.float32) if outcomes else None,
    )


def write_rated(folder, found):
    """Writes the files of all sets, with histories as lists and by reference."""
    for name, rows in split(found).items():
        lists = [history(found, user, at) for user, at in rows]
        table = {
            "user": [user for user, _ in rows],
            "count": [at for _, at in rows],
            "item": [found[user][at][0] for user, at in rows],
            "like": [found[user][at][1] for user, at in rows],
            "hour": [(user + at) % 24 for user, at in rows],
            "h_item": [[item for item, _ in some] for some in lists],
            "h_liked": [[liked for _, liked in some] for some in lists],
        }
        pq.write_table(pa.table(table), folder / f"{name}-0.parquet", row_group_size=7)
    events = [(user, *event) for user, some in enumerate(found) for event in some]
    columns = dict(
        zip(("user", "item", "liked"), map(list, zip(*events, strict=True)), strict=True)
    )
    table = pa.table(columns)
    with pa.OSFile(str(folder / "events.arrow"), "wb") as sink:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
