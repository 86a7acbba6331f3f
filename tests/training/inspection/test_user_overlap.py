import collections

import numpy as np
import pytest
from tiny_run import inspected_run

from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.specs.errors import UserError
from lmn_tf.training.inspection.user_overlap import user_overlap, weighted_jaccard


def reads_of(run, user):
    """The reads of all rows of a user from padded histories: slots, and items by slot."""
    slots, items = collections.Counter(), collections.defaultdict(collections.Counter)
    model, names = run.evaluator.model, run.readers[0].names["item_id"]
    for features in run.kept_rows(run.names.users == user):
        features = WindowBatches.from_spec(run.spec).padded(features)
        groups = model.encoder.encode(features)
        events, positions = groups["histories"]["history"].of_fields("event")
        history, mask = positions.put(events), features["history/mask"]
        _, found, weights = model.memories["history"].read(history, groups["user"], mask)
        found, weights = found.numpy(), weights.numpy()
        for row, event, head, rank in np.argwhere(weights > 0):
            slot = int(found[row, event, head, rank])
            weight = float(weights[row, event, head, rank])
            slots[slot] += weight
            items[slot][names(features["history/item_id"][row, event])] += weight
    return slots, items


def shares(counter):
    return {slot: weight / counter.total() for slot, weight in counter.items()}


def jaccard(one, other):
    slots = {*one, *other}
    smaller = sum(min(one.get(slot, 0), other.get(slot, 0)) for slot in slots)
    return smaller / sum(max(one.get(slot, 0), other.get(slot, 0)) for slot in slots)


def test_shared_slots_are_those_of_reading_each_row():
    run = inspected_run()
    users = tuple(dict.fromkeys(run.names.users))[:2]
    found = user_overlap(run, users, top=4, readers=50)["history_memory"]
    (one, by_one), (other, by_other) = (reads_of(run, user) for user in users)
    of_one, of_other = shares(one), shares(other)
    shared = of_one.keys() & of_other.keys()
    assert found["slots"] == [len(one), len(other)]
    assert found["shared_slots"] == len(shared)
    assert found["rows"] == [np.count_nonzero(run.names.users == user) for user in users]
    assert found["jaccard"] == pytest.approx(jaccard(of_one, of_other), rel=1e-4)
    common = sorted((min(of_one[slot], of_other[slot]) for slot in shared), reverse=True)
    for slot, least in zip(found["top_slots"], common, strict=False):
        number = slot["slot"]
        assert min(slot["shares"]) == pytest.approx(least, rel=1e-4)
        assert slot["shares"] == pytest.approx([of_one[number], of_other[number]], rel=1e-4)
        assert divmod(number, 6) == (slot["row"], slot["column"])
        for items, wanted in zip(slot["items"], (by_one, by_other), strict=True):
            got = {item["value"]: item["share"] for item in items}
            assert got == pytest.approx(shares(wanted[number]), rel=1e-4)


def test_the_overlap_is_compared_with_that_of_others():
    run = inspected_run()
    users = tuple(dict.fromkeys(run.names.users))
    found = user_overlap(run, users[:2])["history_memory"]
    assert found["others"] == 2 * len(users[2:102])
    assert 0 < found["jaccard_of_others"] < 1


def test_users_must_be_two():
    run = inspected_run()
    with pytest.raises(UserError, match=r"`--users` must name two users\. Received: 7 twice"):
        user_overlap(run, ("7", "7"))
    known = run.names.users[0]
    with pytest.raises(UserError, match=r"`--users` must name a user of .*Received: nobody"):
        user_overlap(run, (known, "nobody"))


def test_equal_reads_overlap_wholly_and_others_not():
    one = np.array([1, 4]), np.array([0.5, 0.5])
    assert weighted_jaccard(one, one) == 1.0
    assert weighted_jaccard(one, (np.array([2, 3]), np.array([0.5, 0.5]))) == 0.0
    nothing = np.array([], int), np.array([])
    assert weighted_jaccard(one, nothing) == weighted_jaccard(nothing, nothing) == 0.0
