import numpy as np
import pytest
from rated_items import history, rated, rated_spec, ratings, split, write_rated

from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns


def read(folder, files="train-*.parquet", limit=None, options=None, **spec):
    spec = rated_spec(**spec)
    columns = Columns.of(spec, RatesOptions(**(options or {"outcome": "liked"})))
    return Interactions.read(spec, columns, str(folder / files), limit)


def windows(rows):
    """The events of each row, as (item, liked)."""
    return [
        [
            (int(rows.event_items[at]) - 2, int(rows.event_outcomes[at]))
            for at in range(start, start + length)
        ]
        for start, length in zip(rows.starts, rows.lengths, strict=True)
    ]


def codes(users):
    """Numbers that are equal where users are, in the order of their first row."""
    first = {}
    return [first.setdefault(user, len(first)) for user in users.tolist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, ratings())
    return folder


@pytest.mark.parametrize("by_reference", [True, False])
def test_reads_rows_and_their_events(by_reference, folder):
    found = ratings()
    rows = split(found)["train"]
    got = read(folder, by_reference=by_reference)
    want = rated(found, rows)
    assert got.items.tolist() == want.items.tolist()
    assert got.labels.tolist() == want.labels.tolist()
    assert windows(got) == windows(want) == [history(found, *row) for row in rows]
    assert codes(got.users) == codes(got.groups) == codes(want.users)
    assert got.weights is None and got.row_weights.tolist() == [1.0] * len(rows)


def test_a_limit_is_the_number_of_first_rows(folder):
    assert read(folder, limit=10).items.tolist() == read(folder).items[:10].tolist()


@pytest.mark.parametrize(
    "spec",
    [
        {"by_reference": True},
        {"by_reference": False},
        {"by_reference": False, "group": None},
        {"by_reference": False, "options": {"user": "user", "outcome": "liked"}},
    ],
)
def test_users_are_the_same_in_all_files(spec, folder):
    users = [read(folder, f"{name}-*.parquet", **spec).users for name in ("train", "test")]
    together = codes(np.concatenate(users))
    assert together[len(users[0]) :] == codes(users[1])  # every user is in both, in one order
    assert len(set(together)) == 14


def test_rows_without_anything_that_identifies_users(folder):
    features = rated_spec().to_dict()["features"][1:]
    got = read(folder, by_reference=False, group=None, features=features)
    assert set(got.users.tolist()) == {NO_GROUP}


@pytest.mark.parametrize("by_reference", [True, False])
def test_each_event_is_read_once_with_its_user(by_reference, folder):
    rows = read(folder, by_reference=by_reference)
    events, users = rows.events_read()
    want = {}
    for start, length, user in zip(rows.starts, rows.lengths, rows.users, strict=True):
        want.update({at: user for at in range(start, start + length)})
    assert dict(zip(events.tolist(), users.tolist(), strict=True)) == want
    assert len(events) == len(want) > 0


def test_rows_without_events():
    rows = rated(ratings(), [(0, 0), (1, 0)])
    assert [len(part) for part in rows.events_read()] == [0, 0]
    assert len(Interactions.empty(2)) == 0 and Interactions.empty(2).labels.shape == (0, 2)


def test_some_rows():
    rows = rated(ratings(), split(ratings())["train"])
    some = rows.take(np.array([5, 3]))
    assert windows(some) == [windows(rows)[5], windows(rows)[3]]
    assert some.items.tolist() == rows.items[[5, 3]].tolist()
