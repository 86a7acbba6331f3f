"""The order of grouped rows, against loops over rows in plain Python."""

import numpy as np
import pytest
from small_shop import shop_dict, shop_rows, write_csv, write_events, write_parquet

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader, open_spec_files
from lmn_tf.specs.feature_spec import FeatureSpec

UNIT_ROWS = 30  # of a Parquet row group


def drawn():
    """Rows that know their number, sorted by user, and the events of each user."""
    rows, events = shop_rows(400, seed=3)
    rows.sort(key=lambda row: (row["user"], row["time"]))
    for number, row in enumerate(rows):
        row.update(weight=float(number), age=25)
    return rows, events


ROWS, EVENTS = drawn()
MIXED = [ROWS[number] for number in np.random.default_rng(5).permutation(len(ROWS))]
MIXED = [{**row, "weight": float(number)} for number, row in enumerate(MIXED)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_events(folder, EVENTS)
    return write_parquet(folder, ROWS, files=1, group=UNIT_ROWS)


@pytest.fixture(scope="module")
def mixed_files(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    write_events(folder, EVENTS)
    return write_parquet(folder, MIXED, files=1, group=UNIT_ROWS)


def spec_of(files, by_reference=True, **changes):
    spec = FeatureSpec.from_dict({**shop_dict(by_reference=by_reference), **changes})
    learn(spec, files)
    return spec


@pytest.fixture(scope="module")
def spec(files):
    return spec_of(files)


def numbers_of(batches):
    """The numbers of the rows of batches."""
    return [[int(number) for number in weights] for _, _, weights in batches]


def read(spec, files, epoch=0, start=0, **options):
    options = {"batch_size": 16, "shuffle": True, "seed": 1, "shuffle_buffer": 96, **options}
    return numbers_of(BatchReader(spec, files, **options).read(epoch, start))


def groups_of(rows, window, most):
    """Gathers the rows of a window in groups: a user, and how many events precede each row."""
    counts = {}
    for number in window:
        counts.setdefault(rows[number]["user"], []).append(rows[number]["count"])
    return [
        (user, sorted(counts[user])[start : start + most])
        for user in counts
        for start in range(0, len(counts[user]), most)
    ]


def found_groups(rows, window, most):
    """Cuts the order of a window into these groups, which must be all that it holds."""
    left, found, at = groups_of(rows, window, most), [], 0
    while at < len(window):
        user = rows[window[at]]["user"]
        fits = [
            (name, counts)
            for name, counts in left
            if name == user
            and [rows[number]["count"] for number in window[at : at + len(counts)]] == counts
            and {rows[number]["user"] for number in window[at : at + len(counts)]} == {user}
        ]
        group = max(fits, key=lambda group: len(group[1]))
        left.remove(group)
        found.append(group)
        at += len(group[1])
    assert not left
    return found


@pytest.mark.parametrize("most", [2, 5, 16, 1000])
@pytest.mark.parametrize("file", ["sorted", "mixed"])
def test_groups_are_shuffled_and_their_rows_are_in_the_order_of_time(
    files, mixed_files, spec, most, file
):
    rows, paths = (ROWS, files) if file == "sorted" else (MIXED, mixed_files)
    batches = read(spec, paths, 3, rows_per_group=most)
    assert [len(batch) for batch in batches] == [16] * 25
    order = sum(batches, [])
    assert sorted(order) == list(range(400)) and order != sorted(order)
    starts = range(0, 400, 96)
    found = [found_groups(rows, order[start : start + 96], most) for start in starts]
    users = [user for window in found for user, _ in window]
    assert sum(a > b for a, b in zip(users, users[1:], strict=False)) > 10
    assert max(len(counts) for window in found for _, counts in window) > min(most, 7) - 1


def test_one_row_a_group_is_the_order_of_single_rows(files, spec):
    assert read(spec, files, 2, rows_per_group=1) == read(spec, files, 2)
    order = np.random.default_rng([7, 0, 2, 1]).permutation(400).tolist()
    single = read(spec, files, 2, seed=7, shuffle_buffer=1_000)
    assert sum(single, []) == order


def test_the_order_follows_from_seed_and_epoch(files, spec):
    orders = [
        read(spec, files, epoch, rows_per_group=4, seed=seed)
        for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))
    ]
    assert orders[0] == orders[1]
    assert len({str(order) for order in orders}) == 3


@pytest.mark.parametrize("shuffle_buffer", [48, 1_000])
def test_an_epoch_resumes_at_any_batch(files, spec, shuffle_buffer):
    options = {"rows_per_group": 5, "shuffle_buffer": shuffle_buffer}
    whole = read(spec, files, 1, **options)
    for start in range(len(whole) + 1):
        assert read(spec, files, 1, start, **options) == whole[start:]


@pytest.mark.parametrize("count", [2, 7, 20])
def test_shards_hold_every_row_once_and_groups_of_their_own(files, spec, count):
    shards = [
        sum(read(spec, files, shard=(index, count), rows_per_group=6), []) for index in range(count)
    ]
    assert sorted(sum(shards, [])) == list(range(400))
    if count <= 400 // UNIT_ROWS:  # whole units of rows
        assert sum((np.diff(shard) == 1).sum() for shard in shards) > 200


def test_a_limit_and_a_remainder(files, spec):
    batches = read(spec, files, rows_per_group=6, limit=75, drop_remainder=True)
    assert [len(batch) for batch in batches] == [16] * 4
    assert max(sum(batches, [])) < 75


@pytest.mark.parametrize("most", [6, 400])
def test_without_shuffling_users_come_in_the_order_of_their_first_rows(
    files, mixed_files, spec, most
):
    assert sum(read(spec, files, shuffle=False, rows_per_group=most), []) == list(range(400))
    order = sum(read(spec, mixed_files, shuffle=False, rows_per_group=most), [])
    for start in range(0, 400, 96):
        window = order[start : start + 96]
        wanted = groups_of(MIXED, range(start, min(start + 96, 400)), 400)
        assert found_groups(MIXED, window, 400) == wanted


def test_groups_share_their_events(files, mixed_files, spec):
    def events(files, most):
        options = {"batch_size": 100, "shuffle": True, "rows_per_group": most}
        batches = BatchReader(spec, files, **options).read()
        return sum(len(features["history/item"]) for features, _, _ in batches)

    assert events(files, 16) < 0.5 * events(files, 1)
    assert events(mixed_files, 16) < 0.5 * events(mixed_files, 1)


@pytest.mark.parametrize("told_by", ["group", "features", "reference"])
def test_each_thing_that_tells_users_apart_gives_the_same_order(files, told_by):
    changes = {} if told_by == "group" else {"group": None}  # as if it were not given
    spec = spec_of(files, told_by == "reference", **changes)
    wanted = read(spec_of(files), files, rows_per_group=4)
    assert read(spec, files, rows_per_group=4) == wanted


def test_rows_of_a_user_are_gathered_from_several_files(tmp_path):
    rows = [{**row, "user": f"u{number % 3}"} for number, row in enumerate(ROWS[:40])]
    for row in rows:
        row["h_dwell"] = [1.0] * row["count"]
    pattern = write_csv(tmp_path, rows)
    spec = FeatureSpec.from_dict(shop_dict(nested=False))
    learn(spec, pattern)
    assert len(open_spec_files(spec, pattern)) > 1
    (order,) = read(spec, pattern, rows_per_group=1_000, batch_size=40)
    users = [rows[number]["user"] for number in order]
    assert sum(a != b for a, b in zip(users, users[1:], strict=False)) == 2


def test_wrong_sizes(files, spec):
    with pytest.raises(ValueError, match="`rows_per_group` must be at least 1. Received: .*=0"):
        BatchReader(spec, files, rows_per_group=0)


def test_nothing_tells_users_apart(files):
    plain = shop_dict(by_reference=True)
    plain["features"] = [one for one in plain["features"] if one["role"] == "context"]
    fields = plain["sequences"][0]["fields"]
    plain["sequences"][0]["fields"] = [field for field in fields if "like" not in field]
    del plain["tables"], plain["group"]
    spec = FeatureSpec.from_dict(plain)
    learn(spec, files)
    assert BatchReader(spec, files, rows_per_group=2).num_rows == 400
    message = "`rows_per_group` must be 1 if no column identifies users.*Received: .*=2"
    with pytest.raises(ValueError, match=message):
        BatchReader(spec, files, rows_per_group=2, histories=False)
    assert BatchReader(spec, files, histories=False).num_rows == 400
