"""A slow twin of the preparers: rereads a log in plain Python and checks every written row."""

import bisect
import bz2
import collections
import fractions
import gzip
import lzma
import math
import random
import types
import typing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

_OPENERS = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
SPLITS = ("train", "valid", "test")


class Event(typing.NamedTuple):
    """One line of a log: `label` is 0, 1 or None (history only); `seen` is what histories show."""

    user: object
    item: object
    time: int
    label: int | None
    seen: tuple = ()


class Twin:
    """What a prepared folder must hold, given its log."""

    def __init__(self, folder, log, user, item, time, label, seen=(), sampled=False, repeats=False):
        self.folder, self.log, self.sampled, self.repeats = folder, log, sampled, repeats
        self.names = (user, item, time, label)
        self.seen = seen
        columns = [*self.names, "history_count"]
        self.rows = {split: read_rows(folder, split, columns) for split in SPLITS}
        self.by_user = collections.defaultdict(list)
        for event in log:
            self.by_user[event.user].append(event)
        for events in self.by_user.values():
            events.sort(key=lambda event: event.time)
        self.times = {u: [event.time for event in es] for u, es in self.by_user.items()}
        self.targets = [e for e in log if (e.label == 1 if sampled else e.label is not None)]

    def check(self, split_by, negatives=1, every=1, valid_share="0.1", test_share="0.1"):
        """Checks everything; histories and negatives only of one row in `every`."""
        shares = fractions.Fraction(valid_share), fractions.Fraction(test_share)
        self.check_histories(every)
        self.check_targets(negatives)
        if split_by == "time":
            self.check_time_split(*shares)
        else:
            self.check_position_split(*shares)

    def check_histories(self, every):
        """A history by reference is exactly the user's strictly earlier events."""
        user, item, time, _ = self.names
        written = collections.defaultdict(list)
        for row in read_events(self.folder, [user, item, time, *self.seen]):
            seen = tuple(_plain(row[name]) for name in self.seen)
            written[row[user]].append(Event(row[user], row[item], row[time], None, seen))
        assert sum(map(len, written.values())) == len(self.log)
        for events in written.values():
            assert all(a.time <= b.time for a, b in zip(events, events[1:], strict=False))
        for rows in self.rows.values():
            for row in rows[::every]:
                history = written[row[user]][: row["history_count"]]
                before = bisect.bisect_left(self.times[row[user]], row[time])
                events = self.by_user[row[user]]
                assert all(event.time < row[time] for event in events[:before])
                assert all(event.time >= row[time] for event in events[before:])
                expected = [event._replace(label=None) for event in events[:before]]
                assert collections.Counter(history) == collections.Counter(expected)

    def check_targets(self, negatives):
        """Every target is a row once; a negative is untouched and stands beside its positive.

        With `repeats`, it is untouched at the time of the row.
        """
        user, item, time, label = self.names
        rows = [row for split in SPLITS for row in self.rows[split]]
        found = collections.Counter(
            (row[user], row[item], row[time], row[label])
            for row in rows
            if row[label] == 1 or not self.sampled
        )
        expected = collections.Counter((e.user, e.item, e.time, e.label) for e in self.targets)
        assert found == expected
        if not self.sampled:
            return
        touched = {(e.user, e.item, self.repeats and e.time) for e in self.log}
        items = {event.item for event in self.log}
        requests = collections.Counter((e.user, e.time) for e in self.targets)
        for row in rows:
            if row[label] == 0:
                assert (row[user], row[item], self.repeats and row[time]) not in touched
                assert row[item] in items
        sampled = collections.Counter((row[user], row[time]) for row in rows if row[label] == 0)
        assert sampled == {key: count * negatives for key, count in requests.items()}

    def check_time_split(self, valid_share, test_share):
        """Cut points are the first moments at which enough rows are past."""
        time = self.names[2]
        times = sorted(event.time for event in self.targets)
        total = len(times)
        cut = times[math.ceil((1 - valid_share - test_share) * total) - 1]
        second = times[math.ceil((1 - test_share) * total) - 1]
        assert all(row[time] <= cut for row in self.rows["train"])
        assert all(cut < row[time] <= second for row in self.rows["valid"])
        assert all(row[time] > second for row in self.rows["test"])

    def check_position_split(self, valid_share, test_share):
        """The last rows of a user are the test, those before them the validation."""
        user, _, time, label = self.names
        orders = collections.defaultdict(list)
        for event in self.targets:
            orders[event.user].append(event.time)
        for split in SPLITS:
            for row in self.rows[split]:
                if row[label] == 0 and self.sampled:
                    continue
                times = sorted(orders[row[user]])
                count, rank = len(times), bisect.bisect_left(times, row[time])
                test, valid = math.ceil(count * test_share), math.ceil(count * valid_share)
                place = 2 if rank >= count - test else 1 if rank >= count - test - valid else 0
                assert SPLITS[place if count >= 3 else 0] == split


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def read_rows(folder, split, columns=None):
    """All rows of a split, as dictionaries."""
    return [
        row
        for path in sorted(folder.glob(f"{split}-*.parquet"))
        for row in pq.read_table(path, columns=columns).to_pylist()
    ]


def read_events(folder, columns=None):
    """All events of `events.arrow`, as dictionaries."""
    with pa.memory_map(str(folder / "events.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        return (table if columns is None else table.select(columns)).to_pylist()


def open_text(path, encoding="utf-8"):
    """Opens a file, or its compressed form, as text."""
    for ending in ("", *_OPENERS):
        full = path.with_name(path.name + ending)
        if full.is_file():
            return _OPENERS.get(ending, open)(full, "rt", encoding=encoding)
    raise FileNotFoundError(path)


@pytest.fixture
def slow_twin():
    """The classes and readers above, for tests that are loaded from files."""
    return types.SimpleNamespace(
        Event=Event, Twin=Twin, rows=read_rows, events=read_events, open_text=open_text
    )


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Prepares a data set into a new folder, without a feature spec at hand, and returns it."""
    from lmn_tf.data.preparers import prepare, report

    monkeypatch.setattr(report, "shipped_spec", lambda name: None)
    count = 0

    def run(dataset, input_dir, **options):
        nonlocal count
        count += 1
        folder = tmp_path / f"prepared-{count}"
        prepare(dataset, input_dir, folder, **options)
        return folder

    return run


@pytest.fixture
def log(tmp_path):
    """A folder with a small CSV of interactions."""
    draw = random.Random(0)
    lines = ["user_id,item_id,time,category"]
    for user in range(20):
        for item in draw.sample(range(60), 12):
            lines.append(f"{user},{item},{1_600_000_000 + draw.randrange(90)},c{item % 4}")
    folder = tmp_path / "log"
    folder.mkdir()
    (folder / "log.csv").write_text("\n".join(lines) + "\n")
    return folder
