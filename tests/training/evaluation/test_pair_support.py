import numpy as np
import pytest
from rated_items import rated, ratings, split

from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.training.evaluation import pair_support
from lmn_tf.training.evaluation.pair_support import PairSupport


def windows(rows):
    """The items of the history of each row, as sets."""
    stops = rows.starts + rows.lengths
    events = rows.event_items.tolist()
    return [set(events[a:b]) for a, b in zip(rows.starts, stops, strict=True)]


def twin(train, rows):
    """The support of each row, in plain Python."""
    known = {}
    for user, item, label, window in zip(
        train.users, train.items, train.labels[:, 0], windows(train), strict=True
    ):
        items = known.setdefault(int(user), set())
        items |= window | ({int(item)} if label > 0 else set())
    return [
        sum(
            sum({item, candidate} <= items for items in known.values())
            for item in window - {candidate}
        )
        for candidate, window in zip(rows.items.tolist(), windows(rows), strict=True)
    ]


def support(train, rows):
    events = [
        rows.event_items[start : start + length]
        for start, length in zip(rows.starts, rows.lengths, strict=True)
    ]
    return PairSupport(train).of_rows(rows.items, rows.lengths, np.concatenate(events))


@pytest.mark.parametrize("chunk", [2, 512])
def test_agrees_with_plain_python(chunk, monkeypatch):
    monkeypatch.setattr(pair_support, "_CHUNK", chunk)
    found = ratings(users=30)
    train, test = (rated(found, split(found)[part]) for part in ("train", "test"))
    got = support(train, test)
    assert got.tolist() == twin(train, test) and got.max() > 20


def test_ids_that_are_no_items_and_new_ones_have_none():
    found = ratings()
    rows = split(found)
    train, test = rated(found, rows["train"]), rated(found, rows["test"])
    test.items[:2], test.event_items[:3] = (1, 10_000), (0, 1, 10_000)
    got = support(train, test)
    assert got[:2].tolist() == [0, 0] and got[2:].min() >= 0


def test_rows_of_weight_0_do_not_count():
    found = ratings(users=30)
    train, test = (rated(found, split(found)[part]) for part in ("train", "test"))
    kept = np.arange(len(train)) % 3 > 0
    train.weights = kept.astype(np.float32)
    want = support(train.take(np.flatnonzero(kept)), test)
    assert support(train, test).tolist() == want.tolist() != twin(train, test)


def test_without_training_rows_there_is_none():
    found = ratings()
    test = rated(found, split(found)["test"])
    assert not support(Interactions.empty(), test).any()
