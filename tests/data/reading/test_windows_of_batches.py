"""Events and windows of whole batches, against loops over rows and events in plain Python."""

import copy

import numpy as np
import pytest
from small_shop import shop_dict, shop_rows, write_events, write_parquet

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.feature_spec import FeatureSpec

TAGS = ["red", "green", "blue"]
SIZE = 24


def drawn():
    """Rows of users in turn, most of them in the order of time, and the events of each user."""
    rows, events = shop_rows(300, seed=2)
    for some in events.values():
        for number, event in enumerate(some):
            event["h_weights"] = [(number % 4 + 1) / 4] * len(event["h_tags"])
    rows.sort(key=lambda row: (row["user"], row["time"]))
    rows[40:44] = rows[43:39:-1]
    for number, row in enumerate(rows):
        past = events[row["user"]][: row["count"]]
        row["h_weights"] = [event["h_weights"] for event in past]
        row["age"] = 15 if number % 11 == 0 else 25  # a user's features change now and then
        row["weight"] = float(number)
    return rows, events


ROWS, EVENTS = drawn()


def spec_of(layouts, age=True):
    """A spec with a sequence for each layout: whether by reference, what is kept, how much."""
    plain = shop_dict()
    events = shop_dict(by_reference=True)["sequences"][0]["events"]
    fields = plain["sequences"][0]["fields"]
    next(field for field in fields if field["name"] == "tags")["weights"] = "h_weights"
    plain["sequences"] = []
    for number, (by_reference, keep, max_length) in enumerate(layouts):
        sequence = {"name": f"s{number}", "max_length": max_length, "keep": keep}
        sequence["fields"] = copy.deepcopy(fields)
        if by_reference:
            sequence["events"] = events
        plain["sequences"].append(sequence)
    if not age:
        plain["features"] = [f for f in plain["features"] if f["name"] not in ("age", "age_x_tags")]
    return FeatureSpec.from_dict(plain)


# The twin.


def ids_of(event, items):
    """The fields of an event that do not depend on the row."""
    tags = [TAGS.index(tag) + 2 if tag in TAGS else 1 for tag in event["h_tags"][:3]]
    return {
        "item": items.index(event["h_item"]) + 2 if event["h_item"] in items else 1,
        "dwell": -1.0 if event["h_dwell"] is None else event["h_dwell"],
        "tags": tags,
        "tags/weights": event["h_weights"][: len(tags)],
        "look": event["h_look"],
    }


def windows(rows, layout, items, age):
    """What a batch of `rows` holds of one sequence: first, length, events and elapsed times."""
    by_reference, keep, max_length = layout
    first, length, events, elapsed = [], [], [], []
    before = None
    for row in rows:
        count = row["count"]
        start = max(count - max_length, 0) if keep == "newest" else 0
        end = min(start + max_length, count)
        past = EVENTS[row["user"]][start:end]
        encoded = [ids_of(event, items) for event in past]
        user = (row["user"], row["age"] if age else None)
        joins = before is not None and user == before["user"]
        if by_reference:
            joins = joins and before["start"] <= start <= before["run_end"] <= end
        else:
            joins = joins and encoded == before["encoded"]
        if not joins:
            offset, run_end = len(events) - start, start
        elif by_reference:
            run_end = before["run_end"]
        else:
            offset, run_end = first[-1] - start, end
        for number in range(run_end, end):
            events.append(encoded[number - start])
        first.append(start + offset)
        length.append(end - start)
        elapsed += [2 + min((row["time"] - e["h_time"]).bit_length(), 11) for e in past]
        run_end = max(run_end, end)
        before = {"user": user, "start": start, "run_end": run_end, "encoded": encoded}
    return first, length, events, elapsed


def assert_lists(cells, wanted, padding):
    for got, one in zip(cells.tolist(), wanted, strict=True):
        assert got == one + [padding] * (len(got) - len(one))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_events(folder, EVENTS)
    return write_parquet(folder, ROWS)


LAYOUTS = {
    "newest by reference": [(True, "newest", 5)],
    "oldest by reference": [(True, "oldest", 5)],
    "newest lists": [(False, "newest", 5)],
    "oldest lists": [(False, "oldest", 3)],
    "histories that do not fill": [(True, "newest", 100), (False, "newest", 100)],
    "two of a kind": [(True, "newest", 4), (True, "oldest", 1)],
    "one of each": [(False, "oldest", 2), (True, "newest", 12)],
}


@pytest.mark.parametrize("age", [True, False], ids=["changing user", "same user"])
@pytest.mark.parametrize("order", [{}, {"shuffle": True, "rows_per_group": 6}], ids=["file", "six"])
@pytest.mark.parametrize("layouts", LAYOUTS.values(), ids=LAYOUTS)
def test_batches_agree_with_loops_over_rows(files, layouts, order, age):
    spec = spec_of(layouts, age)
    learn(spec, files)
    items = spec.assets.vocabularies["item"]
    events_read = pairs_read = 0
    for features, _, numbers in BatchReader(spec, files, batch_size=SIZE, **order).read():
        rows = [ROWS[int(number)] for number in numbers]
        for number, layout in enumerate(layouts):
            first, length, events, elapsed = windows(rows, layout, items, age)
            batch = {key[3:]: v for key, v in features.items() if key.startswith(f"s{number}/")}
            assert batch["first"].tolist() == first and batch["length"].tolist() == length
            assert batch["elapsed"].tolist() == elapsed
            for name in ("item", "dwell", "look"):
                assert batch[name].tolist() == [event[name] for event in events]
            assert_lists(batch["tags"], [event["tags"] for event in events], 0)
            assert_lists(batch["tags/weights"], [event["tags/weights"] for event in events], 0.0)
            events_read, pairs_read = events_read + len(events), pairs_read + sum(length)
    assert 0 < events_read < pairs_read


def test_a_window_has_its_events_and_its_user_alone(files):
    spec = spec_of([(True, "newest", 12)])
    learn(spec, files)
    for features, _, _ in BatchReader(spec, files, batch_size=64).read():
        first, length = features["s0/first"], features["s0/length"]
        assert (np.diff(first) >= 0).all()
        seen = np.zeros(len(features["s0/item"]), bool)
        for start, count in zip(first, length, strict=True):
            seen[start : start + count] = True
        assert seen.all()
        owners = np.searchsorted(first, np.arange(len(seen)), side="right") - 1
        for row, (start, count) in enumerate(zip(first, length, strict=True)):
            for owner in owners[start : start + count]:
                assert features["user"][owner] == features["user"][row]
                assert features["age"][owner] == features["age"][row]
