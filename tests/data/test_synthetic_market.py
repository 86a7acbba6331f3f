"""The synthetic market: what is planted is there, and nothing later leaks into a history."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from lmn_tf.data import synthetic_market
from lmn_tf.data.synthetic_market import CAUSES, SyntheticMarket, history_positions, split_of
from lmn_tf.specs.errors import UserError


def drawn(**options):
    """The whole market as one dict of arrays."""
    chunks = list(SyntheticMarket(**options).chunks())
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def test_events_rise_strictly_in_time_within_each_user():
    market = drawn(users=20, items=50, rows=3000)
    same_user = np.diff(market["event_user"]) == 0
    assert (np.diff(market["event_user"]) >= 0).all()
    assert (np.diff(market["event_time"])[same_user] > 0).all()


def test_many_events_of_one_user_still_rise_strictly(monkeypatch):
    monkeypatch.setattr(synthetic_market, "_PAST", 50)
    monkeypatch.setattr(synthetic_market, "_SPAN", 50)
    market = drawn(users=2, items=5, rows=400, categories=2)
    same_user = np.diff(market["event_user"]) == 0
    assert (np.diff(market["event_time"])[same_user] > 0).all()


def test_a_row_is_one_of_its_users_events_and_counts_those_before():
    market = drawn(users=30, items=50, rows=600)
    event = market["event"]
    np.testing.assert_array_equal(market["event_item"][event], market["item"])
    np.testing.assert_array_equal(market["event_user"][event], market["user"])
    first = np.searchsorted(market["event_user"], market["user"])
    np.testing.assert_array_equal(event - first, market["count"])


def test_the_logit_is_the_sum_of_the_causes():
    market = drawn(users=30, items=50, rows=600, bias=-0.25)
    total = -0.25 + sum(market[name] for name in CAUSES)
    np.testing.assert_allclose(market["logit"], total, rtol=1e-12)


def test_clicks_follow_the_logit():
    market = drawn(users=500, rows=40_000)
    order = np.argsort(market["logit"])
    for part in np.array_split(order, 8):
        want = (1 / (1 + np.exp(-market["logit"][part]))).mean()
        assert abs(market["click"][part].mean() - want) < 4 * 0.5 / np.sqrt(len(part))


def test_causes_equal_a_slow_twin():
    options = dict(users=8, items=12, rows=60, history_length=4, categories=3, groups=3, seed=5)
    market = SyntheticMarket(**options, pair_events=3)
    (chunk,) = market.chunks()
    truth = synthetic_market._Truth(market)
    for row in range(60):
        event, count = chunk["event"][row], chunk["count"][row]
        history = chunk["event_item"][event - min(count, 4) : event]
        pairs = sum(truth.pair_table[chunk["segment"][row], item] for item in history[-3:])
        assert chunk["pairs"][row] == pytest.approx(1.5 * pairs / np.sqrt(3), abs=1e-5)
        seen = truth.partner[chunk["item"][row]] in history
        assert chunk["co_occurrence"][row] == float(seen)


def test_partners_and_followers_are_inverse_and_never_the_item_itself():
    truth = synthetic_market._Truth(SyntheticMarket(items=31))
    items = np.arange(31)
    np.testing.assert_array_equal(truth.follower[truth.partner], items)
    assert (truth.partner != items).all()


def test_strength_zero_removes_a_cause():
    market = drawn(users=30, items=50, rows=600, taste=0.0, quality=0.0, co_occurrence=0, pairs=0.0)
    np.testing.assert_array_equal(market["logit"], -0.5)


def test_follow_makes_partners_meet():
    rare, often = (
        drawn(users=300, rows=9000, follow=follow)["co_occurrence"].mean() for follow in (0.0, 0.4)
    )
    assert often > rare + 0.2


def test_the_pair_effects_can_be_learned_from_pair_ids_but_not_from_item_ids():
    options = dict(users=1500, items=60, rows=40_000, groups=8, history_length=10, seed=3)
    market = drawn(**options, taste=0.0, quality=0.0, co_occurrence=0.0, pairs=2.0)
    row, position = history_positions(market["event"], market["count"], 10)
    train = split_of(market["time"]) == 0

    def learned_auc(columns, width):
        counts = np.zeros((len(train), width), dtype=np.float32)
        np.add.at(counts, (row, columns), 1.0)
        model = LogisticRegression(C=1.0, max_iter=200).fit(counts[train], market["click"][train])
        return roc_auc_score(market["click"][~train], model.decision_function(counts[~train]))

    item = market["event_item"][position]
    pair = market["segment"][row] * 60 + item
    ceiling = roc_auc_score(market["click"][~train], market["logit"][~train])
    assert learned_auc(pair, 8 * 60) > ceiling - 0.02
    assert learned_auc(item, 60) < 0.7 < ceiling - 0.1


def test_chunks_bound_memory_and_keep_every_row(monkeypatch):
    monkeypatch.setattr(synthetic_market, "_CELLS", 2000)
    chunks = list(SyntheticMarket(users=50, items=30, rows=777).chunks())
    assert len(chunks) > 5
    assert sum(len(chunk["click"]) for chunk in chunks) == 777
    users = np.concatenate([chunk["event_user"] for chunk in chunks])
    assert (np.diff(users) >= 0).all() and users.max() < 50


def test_splits_are_about_80_10_10():
    shares = np.bincount(split_of(drawn(users=500, rows=20_000)["time"])) / 20_000
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.015)


def test_history_positions_of_empty_histories():
    row, position = history_positions(np.array([0, 4]), np.array([0, 3]), 5)
    np.testing.assert_array_equal(row, [1, 1, 1])
    np.testing.assert_array_equal(position, [1, 2, 3])


@pytest.mark.parametrize("options", [{"items": 1, "categories": 1}, {"users": 1}, {"rows": 1}])
def test_the_smallest_markets(options):
    market = drawn(**{"users": 3, "items": 5, "rows": 9, "categories": 2, **options})
    assert np.isfinite(market["logit"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0}, "`rows` must be a positive integer. Received: rows=0"),
        ({"users": 2.5}, "`users` must be a positive integer. Received: users=2.5"),
        ({"pair_events": 0}, "`pair_events` must be a positive integer. Received: pair_events=0"),
        ({"seed": -1}, "`seed` must be an integer, 0 or more. Received: seed=-1"),
        ({"pairs": "much"}, "`pairs` must be a number. Received: pairs='much'"),
        ({"follow": 1.5}, "`follow` must be between 0 and 1. Received: follow=1.5"),
        ({"items": 3}, "`categories` must be at most `items`. Received: categories=20, items=3"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        SyntheticMarket(**options)
