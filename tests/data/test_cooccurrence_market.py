"""The market of co-occurrence: only both items of a pair together say anything."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lmn_tf.data import cooccurrence_market
from lmn_tf.data.cooccurrence_market import CooccurrenceMarket
from lmn_tf.data.synthetic_market import split_of
from lmn_tf.specs.errors import UserError

SMALL = dict(rows=4000, groups=3, pairs=5, seconds=2)


def drawn(**options):
    """The whole market as one dict of arrays, and its histories `(rows, history_length)`."""
    market = CooccurrenceMarket(**options)
    chunks = list(market.chunks())
    chunk = {name: np.concatenate([one[name] for one in chunks]) for name in chunks[0]}
    return chunk, chunk["event_item"].reshape(len(chunk["click"]), -1)[:, :-1]


def test_the_cause_equals_a_slow_twin():
    chunk, histories = drawn(**SMALL)
    assert histories.shape == (4000, 9)
    for row, history in enumerate(histories):
        group = chunk["item"][row] % 3
        assert chunk["item"][row] == 30 + group
        for other in range(3):
            places = [item // 3 for item in history if item % 3 == other]
            firsts = [place for place in places if place < 5]
            seconds = [place - 5 for place in places if place >= 5]
            assert len(firsts) == 1 and len(set(seconds)) == 2
            if other == group:
                assert chunk["logit"][row] == (3.0 if firsts[0] in seconds else -3.0)
    np.testing.assert_array_equal(chunk["logit"], chunk["co_occurrence"])


def test_events_are_those_of_one_user_a_row():
    chunk, _ = drawn(**SMALL)
    np.testing.assert_array_equal(chunk["event_item"][chunk["event"]], chunk["item"])
    np.testing.assert_array_equal(chunk["event_user"][chunk["event"]], chunk["user"])
    assert (chunk["count"] == 9).all()
    same_user = np.diff(chunk["event_user"]) == 0
    assert (np.diff(chunk["event_time"])[same_user] > 0).all()
    shares = np.bincount(split_of(chunk["time"])) / 4000
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.02)


def test_clicks_follow_the_logit():
    chunk, _ = drawn(rows=20_000, co_occurrence=1.0)
    for value in (-1.0, 1.0):
        found = chunk["click"][chunk["logit"] == value]
        assert abs(found.mean() - 1 / (1 + np.exp(-value))) < 4 * 0.5 / np.sqrt(len(found))


def test_no_item_alone_says_anything_but_the_pairs_do():
    chunk, histories = drawn(rows=20_000, groups=2, pairs=4, seconds=2, seed=3)
    groups = chunk["item"] % 2
    present = np.zeros((20_000, 2 * 8 + 2), dtype=np.float32)
    np.put_along_axis(present, histories, 1.0, axis=1)
    by_place = present[:, :16].reshape(-1, 8, 2)
    own = by_place[np.arange(20_000), :, groups]  # places of the candidate's group
    pairs = own[:, :4] * own[:, 4:]
    train = split_of(chunk["time"]) == 0

    def learned_auc(features):
        model = LogisticRegression(max_iter=200).fit(features[train], chunk["click"][train])
        return roc_auc_score(chunk["click"][~train], model.decision_function(features[~train]))

    ceiling = roc_auc_score(chunk["click"][~train], chunk["logit"][~train])
    crossed = own * (2 * groups[:, None] - 1)
    assert learned_auc(np.concatenate([present, own, crossed], axis=1)) < 0.53
    assert learned_auc(pairs) > ceiling - 0.005 > 0.9


def test_chunks_bound_memory_and_keep_every_row(monkeypatch):
    monkeypatch.setattr(cooccurrence_market, "_CELLS", 2000)
    chunks = list(CooccurrenceMarket(**SMALL).chunks())
    assert len(chunks) > 5
    users = np.concatenate([chunk["user"] for chunk in chunks])
    np.testing.assert_array_equal(users, np.arange(4000))


def test_the_same_seed_gives_the_same_market():
    first, second, other = (drawn(**SMALL, seed=seed)[0] for seed in (1, 1, 2))
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name])
    assert (first["click"] != other["click"]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "`rows` must be a positive integer. Received: rows=0"),
        ({"groups": 1.5}, "`groups` must be a positive integer. Received: groups=1.5"),
        ({"seed": -1}, "`seed` must be an integer, 0 or more. Received: seed=-1"),
        ({"co_occurrence": "no"}, "`co_occurrence` must be a number. Received: .*='no'"),
        ({"pairs": 4}, "`seconds` must be below `pairs`. Received: seconds=8, pairs=4"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        CooccurrenceMarket(**options)
