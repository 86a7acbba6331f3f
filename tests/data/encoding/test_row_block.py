"""Windows and events of batches, against loops over rows in plain Python."""

import numpy as np
import pytest

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.elapsed_time import elapsed_ids
from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.data.encoding.ragged import Ragged, starts_of
from lmn_tf.data.encoding.row_block import Pairs, RowBlock, SequenceRows, Times


def lists(*items):
    lengths = np.array([len(item) for item in items], np.int32)
    values = np.array([x for item in items for x in item], np.int32)
    return Ragged(values, starts_of(lengths), lengths)


def block(first):
    lengths = np.array([2, 0], np.int32)
    fields = {
        "item": np.array([first, first + 1], np.int32),
        "tags": lists([first], [first, 9]),
        "look": np.full((2, 3), first, np.float32),
    }
    history = SequenceRows(starts_of(lengths), lengths, fields)
    features = {"x": np.array([first, 0], np.int32), "m": lists([], [first])}
    return RowBlock(features, {"h": history}, np.ones((2, 1), np.float32), np.ones(2, np.float32))


def test_a_batch_is_gathered_from_joined_blocks():
    joined = RowBlock.join([block(5), block(7)])
    features, labels, weights = joined.batch(np.array([2, 1, 0]))
    assert features["x"].tolist() == [7, 0, 5]
    assert features["m"].tolist() == [[0], [5], [0]]
    assert features["h/first"].tolist() == [0, 2, 2]
    assert features["h/length"].tolist() == [2, 0, 2]
    assert features["h/item"].tolist() == [7, 8, 5, 6]
    assert features["h/tags"].tolist() == [[7, 0], [7, 9], [5, 0], [5, 9]]
    assert features["h/look"][:, 0].tolist() == [7, 7, 5, 5]
    assert labels.shape == (3, 1) and weights.shape == (3,)
    assert features["h/first"].dtype == features["h/length"].dtype == np.int32


def test_a_batch_without_any_event():
    features, _, _ = RowBlock.join([block(5)]).batch(np.array([1, 1]))
    assert features["h/first"].tolist() == features["h/length"].tolist() == [0, 0]
    assert features["h/item"].shape == (0,) and features["h/look"].shape == (0, 3)
    assert features["h/tags"].shape == (0, 1)


def test_a_batch_without_any_row():
    features, labels, _ = RowBlock.join([block(5)]).batch(np.array([], int))
    assert features["h/first"].shape == features["h/item"].shape == (0,)
    assert len(labels) == 0


def by_reference(starts, lengths, users, fields=None, request=None):
    fields = {"item": np.arange(100, dtype=np.int32)} if fields is None else fields
    lengths, request = np.array(lengths, np.int32), request and np.array(request) * 1_000_000
    return SequenceRows(np.array(starts), lengths, fields, request, np.array(users))


def test_elapsed_time_belongs_to_pairs():
    times = np.array([1_000_000, 2_000_000, 3_000_000, MISSING_TIME])
    fields = {"item": np.array([11, 12, 13, 14], np.int32), "t": Times(times, "second", 8)}
    parts = [by_reference([0], [3], [0], fields, [5]), by_reference([1], [3], [0], fields, [6])]
    joined = SequenceRows.join(parts)
    batch = joined.batch(np.array([0, 1]), np.array([False, True]))
    assert batch["first"].tolist() == [0, 1] and batch["item"].tolist() == [11, 12, 13, 14]
    assert batch["t"].tolist() == [5, 4, 4, 5, 4, 1]
    assert joined.fields["item"] is fields["item"]


def test_elapsed_times_of_many_pairs_are_those_of_each_row():
    rng = np.random.default_rng(1)
    times = Times(np.sort(rng.integers(0, 10**9, 4_000)), "second", 32)
    starts, lengths = rng.integers(0, 3_000, 200), rng.integers(0, 900, 200).astype(np.int32)
    request = rng.integers(10**9, 10**11, 200)
    wanted = []
    for row, start in enumerate(starts):
        past = times.values[start : start + lengths[row]]
        wanted.append(elapsed_ids(request[row], past, "second", 32))
    np.testing.assert_array_equal(times.elapsed(request, starts, lengths), np.concatenate(wanted))


@pytest.mark.parametrize("users", [None, [3]])
def test_rows_that_repeat_one_share_its_events(users):
    times = Times(np.array([1_000_000, 2_000_000, 3_000_000]), "second", 8)
    fields = {"item": np.array([11, 12, 13], np.int32)}
    fields["t"] = Pairs(np.array([5, 4, 3], np.int32)) if users is None else times
    request = None if users is None else np.array([6_000_000])
    starts, lengths = np.array([1]), np.array([2], np.int32)
    history = SequenceRows(starts, lengths, fields, request, users and np.array(users))
    batch = history.repeated(3).batch(np.arange(1, 3), np.array([False, True]))
    assert batch["first"].tolist() == [0, 0] and batch["length"].tolist() == [2, 2]
    assert batch["item"].tolist() == [12, 13]
    alone = history.batch(np.array([0]), np.array([False]))
    assert batch["t"].tolist() == alone["t"].tolist() * 2 and len(alone["t"]) == 2


def test_equal_lists_share_events_but_not_elapsed_time():
    def part(elapsed):
        fields = {"t": Pairs(np.array([6, elapsed], np.int32)), "item": np.array([3, 4], np.int32)}
        return SequenceRows(np.array([0]), np.array([2], np.int32), fields)

    batch = SequenceRows.join([part(3), part(2)]).batch(np.array([0, 1]), np.array([False, True]))
    assert batch["first"].tolist() == [0, 0] and batch["item"].tolist() == [3, 4]
    assert batch["t"].tolist() == [6, 3, 6, 2]


@pytest.mark.parametrize(
    "starts, lengths, users, first, events",
    [
        # The next window, one that begins where the run ends, and one beyond it.
        ([4, 5, 8, 12], [3, 3, 2, 1], [0, 0, 0, 0], [0, 1, 4, 6], [4, 5, 6, 7, 8, 9, 12]),
        # A window of earlier events begins a run of its own.
        ([4, 3], [2, 2], [0, 0], [0, 2], [4, 5, 3, 4]),
        # So does one that ends earlier.
        ([0, 0, 3, 4], [4, 1, 1, 1], [0, 0, 0, 0], [0, 4, 5, 6], [0, 1, 2, 3, 0, 3, 4]),
        # Another user's events are not read on, though they lie behind.
        ([4, 6], [2, 2], [0, 6], [0, 2], [4, 5, 6, 7]),
        # Empty histories: before the first event, after the last one, of another user.
        ([4, 4, 4, 0], [0, 2, 0, 0], [4, 4, 4, 0], [0, 0, 2, 2], [4, 5]),
    ],
)
def test_runs_by_reference(starts, lengths, users, first, events):
    rows = by_reference(starts, lengths, users)
    batch = rows.batch(np.arange(len(starts)), np.arange(len(starts)) > 0)
    assert batch["first"].tolist() == first and batch["item"].tolist() == events


def twin(rows, chosen, alike):
    """Runs of events, row after row."""
    first, events, run = [], [], None
    for number, row in enumerate(chosen):
        start, end = int(rows.starts[row]), int(rows.starts[row] + rows.lengths[row])
        previous = chosen[number - 1]
        joins = (
            number > 0
            and alike[number]
            and rows.users[row] == rows.users[previous]
            and rows.starts[previous] <= start <= run[-1] <= end
        )
        if not joins:
            run = [start, start]  # where it begins in the store, and where it ends
            offset = len(events) - start
        first.append(start + offset)
        events += range(run[-1], end)
        run.append(max(run[-1], end))
    return first, events


def test_random_runs_agree_with_a_loop_over_rows():
    rng = np.random.default_rng(0)
    shared = 0
    for _ in range(200):
        users = np.sort(rng.integers(0, 4, 30)) * 25
        starts = users + rng.integers(0, 12, 30)
        order = np.lexsort((starts, users)) if rng.random() < 0.7 else np.arange(30)
        rows = by_reference(starts[order], rng.integers(0, 8, 30), users[order])
        chosen = np.arange(30) if rng.random() < 0.5 else rng.permutation(30)
        alike = (rng.random(30) < 0.9) & (np.arange(30) > 0)
        batch = rows.batch(chosen, alike)
        first, events = twin(rows, chosen, alike)
        assert batch["first"].tolist() == first and batch["item"].tolist() == events
        assert (np.diff(batch["first"]) >= 0).all()
        shared += int(batch["length"].sum()) - len(events)
    assert shared > 2_000


def of_users(users, looks, **options):
    features = {
        "user": np.array(users, np.int32),
        "looks": lists(*looks),
        "group": np.array([4, 4, 4, NO_GROUP, NO_GROUP]),
    }
    for name in options.pop("without", ()):
        del features[name]
    return RowBlock(features, {}, None, None, ("user", "looks"), **options)


def test_rows_share_only_where_every_user_feature_is_equal():
    rows = of_users([1, 1, 1, 2, 2], [[7], [7], [8], [8], [8]])
    rows.sequences["h"] = by_reference([0, 0, 0, 0, 0], [2, 2, 2, 2, 2], [0] * 5)
    features, _, _ = rows.batch(np.arange(5))
    assert features["h/first"].tolist() == [0, 0, 2, 4, 4]
    rows.user_features = ()
    assert rows.batch(np.arange(5))[0]["h/first"].tolist() == [0] * 5


def test_what_identifies_users():
    def users(rows):
        codes, moments = rows.users()
        return [codes.tolist().index(code) for code in codes], moments.tolist()

    rows = of_users([1, 1, 1, 2, 2], [[7], [7], [8], [8], [8]])
    assert users(rows) == ([0, 0, 0, 3, 4], [0] * 5)
    rows = of_users([1, 1, 1, 2, 2], [[7], [7], [8], [8], [8]], without=["group"])
    assert users(rows) == ([0, 0, 2, 3, 3], [0] * 5)
    rows = of_users([1, 1, 1, 2, 2], [[7], [7], [8], [8], [8]])
    rows.sequences["lists"] = SequenceRows(np.zeros(5, int), np.zeros(5, np.int32), {})
    rows.sequences["h"] = by_reference([0, 3, 2, 0, 0], [4, 2, 2, 0, 0], [5, 6, 6, 7, NO_GROUP])
    assert users(rows) == ([0, 1, 1, 3, 4], [4, 5, 4, 0, 0])
