import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rated_items import history, rated, rated_spec, ratings, split, write_rated

from lmn_tf.data.encoding.hashing import NO_GROUP
from lmn_tf.data.learning.vocabulary import learn
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


def test_users_are_the_same_by_events_files_of_their_own(folder, tmp_path):
    """In another file of events, those of a user begin elsewhere."""
    shutil.copytree(folder, tmp_path / "other")
    path = str(tmp_path / "other" / "events.arrow")
    with pa.ipc.open_file(path) as source:
        events = source.read_all()
    first = pa.table({"user": [77, 77], "item": [1, 2], "liked": [0, 1]}, schema=events.schema)
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, events.schema) as writer:
        writer.write_table(pa.concat_tables([first, events]))
    one, other = (read(of) for of in (folder, tmp_path / "other"))
    assert windows(one) == windows(other) and (one.starts != other.starts).all()
    np.testing.assert_array_equal(one.users, other.users)
    assert len(set(one.users.tolist())) == 14 and one.users.max() < 0


@pytest.mark.parametrize("lookup", [{"vocabulary": [0, 3, 5]}, {"learn": {"min_count": 8}}])
def test_unknown_users_are_no_user(lookup, folder):
    features = rated_spec().to_dict()["features"]
    features[0] |= {"lookup": lookup}
    hour = {**features[2], "role": "user", "lookup": {"hash": 2}}
    spec = rated_spec(by_reference=False, group=None, features=[*features[:2], hour])
    learn(spec, str(folder / "train-*.parquet"))
    columns = Columns.of(spec, RatesOptions())
    rows = Interactions.read(spec, columns, str(folder / "train-*.parquet"))
    names = pq.read_table(folder / "train-0.parquet")["user"].to_pylist()
    known = set(map(int, spec.vocabulary(spec.feature("user"))))
    assert 0 < len(known) < 14
    assert [user != NO_GROUP for user in rows.users] == [name in known for name in names]


def test_outcomes_that_are_missing_are_unknown(folder, tmp_path):
    table = pq.read_table(folder / "train-0.parquet")
    place = table.column_names.index("h_liked")
    liked = [
        [None if at == 0 else one for at, one in enumerate(some)]
        for some in table["h_liked"].to_pylist()
    ]
    table = table.set_column(place, "h_liked", [pa.array(liked, table["h_liked"].type)])
    pq.write_table(table, tmp_path / "train-0.parquet")
    found, rows = (read(of, by_reference=False) for of in (folder, tmp_path))
    first = rows.starts[rows.lengths > 0]
    assert np.isnan(rows.event_outcomes[first]).all()
    others = np.setdiff1d(np.arange(len(rows.event_outcomes)), first)
    np.testing.assert_array_equal(rows.event_outcomes[others], found.event_outcomes[others])


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


@pytest.mark.parametrize("outcomes", [True, False])
def test_joined_rows_read_their_own_events(outcomes):
    found = ratings()
    rows = split(found)
    parts = [rated(found, rows[name], outcomes) for name in ("train", "test")]
    joined, whole = Interactions.join(parts), rated(found, rows["train"] + rows["test"], outcomes)
    for part, of_part in ((joined, whole), (Interactions.join(parts[:1]), parts[0])):
        for name in ("items", "users", "labels", "groups", "lengths"):
            np.testing.assert_array_equal(getattr(part, name), getattr(of_part, name))
        assert part.weights is None and (part.event_outcomes is not None) == outcomes
        events, of_events = part.row_events()[0], of_part.row_events()[0]
        np.testing.assert_array_equal(part.event_items[events], of_part.event_items[of_events])
