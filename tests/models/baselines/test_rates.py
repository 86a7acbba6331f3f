import dataclasses
import math

import numpy as np
import pytest
from rated_items import history, rated, rated_spec, ratings, split

from lmn_tf.data.encoding.hashing import splitmix64
from lmn_tf.models.baselines.rates import Rates
from lmn_tf.specs.errors import UserError

FOUND = ratings()
ROWS = split(FOUND)
SETS = {name: rated(FOUND, rows) for name, rows in ROWS.items()}


def fitted(spec=None, valid=SETS["valid"], **options):
    options = {"outcome": "liked", "shrinkage": 3.0, "recent": 4, **options}
    return Rates(spec or rated_spec(), **options).fit(SETS["train"], valid)


def log_odds(p):
    return math.log(p / (1 - p))


def twin(user, at, shrinkage=3.0, recent=4):
    """The three scores of a row, by loops over the training rows."""
    labels = [FOUND[u][t][1] for u, t in ROWS["train"]]
    rate = sum(labels) / len(labels)

    def score(some):
        return log_odds((sum(some) + shrinkage * rate) / (len(some) + shrinkage)) - log_odds(rate)

    item = FOUND[user][at][0]
    return [
        score([FOUND[u][t][1] for u, t in ROWS["train"] if FOUND[u][t][0] == item]),
        score([FOUND[u][t][1] for u, t in ROWS["train"] if u == user]),
        score([liked for _, liked in history(FOUND, user, at)[-recent:]]),
    ]


def test_scores_are_those_of_loops():
    scores = fitted().scores(SETS["test"])
    assert list(scores) == ["item", "user", "recent"]
    want = np.array([twin(*row) for row in ROWS["test"]])
    np.testing.assert_allclose(np.stack(list(scores.values()), 1), want, atol=1e-6)


def test_events_and_repeats_are_scores(monkeypatch):
    monkeypatch.setattr("lmn_tf.models.baselines.rates._CHUNK", 5)
    scores = fitted(history_counts=True).scores(SETS["test"])
    assert list(scores) == ["item", "user", "recent", "events", "repeats"]
    want = []
    for user, at in ROWS["test"]:
        items = [item for item, _ in history(FOUND, user, at)]
        want.append([len(items), items.count(FOUND[user][at][0])])
    want = np.log1p(want)
    np.testing.assert_allclose(np.stack([scores["events"], scores["repeats"]], 1), want, rtol=1e-6)
    assert np.all(np.ptp(want, axis=0) > 0.3)


def test_counts_are_scores_of_their_own():
    model = fitted(counts=True)
    scores = model.scores(SETS["test"])
    assert list(scores) == ["item", "user", "recent", "rows of item", "rows of user", "new"]
    for name, place in (("rows of item", 1), ("rows of user", 0)):
        rows = [(u, FOUND[u][t][0]) for u, t in ROWS["train"]]
        asked = [(u, FOUND[u][t][0]) for u, t in ROWS["test"]]
        want = [math.log1p(sum(row[place] == one[place] for row in rows)) for one in asked]
        np.testing.assert_allclose(scores[name], want)
        assert np.ptp(want) > 0.01 and model.weights[name] != 0.0
    strange = SETS["test"].take(np.array([0]))
    strange.users[:], strange.items[:] = -77, 1
    found = [model.scores(strange)[name].tolist() for name in list(scores)[3:]]
    assert found == [[0.0], [0.0], [1.0]]


def test_without_outcomes_there_is_no_recent_rate():
    model = Rates(rated_spec()).fit(SETS["train"], rated(FOUND, ROWS["valid"], outcomes=False))
    rows = rated(FOUND, ROWS["test"], outcomes=False)
    assert list(model.scores(rows)) == ["item", "user"]
    assert set(model.weights) == {"bias", "item", "user"}
    assert model.num_parameters == 9 + 14 + 3


def test_weights_minimize_the_log_loss_of_the_validation_rows():
    valid = SETS["valid"].take(np.tile(np.arange(len(SETS["valid"])), 20))
    model = fitted(valid=valid)

    def loss(weights):
        logits = weights[0] + np.stack(list(model.scores(valid).values()), 1) @ weights[1:]
        return np.sum(np.logaddexp(0, logits) - valid.labels[:, 0] * logits)

    best = np.array(list(model.weights.values()))
    for step in np.vstack([np.eye(4), -np.eye(4)]) * 0.05:
        assert loss(best) < loss(best + step)


def test_without_validation_rows_a_tenth_of_the_training_rows_is_held_out():
    model, train = fitted(valid=None), SETS["train"]
    held_out = splitmix64(np.arange(len(train), dtype=np.uint64)) % np.uint64(10) == 0
    assert 0.05 < held_out.mean() < 0.2
    other = fitted(valid=train.take(np.flatnonzero(held_out)))
    other.fit_scores(train.take(np.flatnonzero(~held_out)), 0)
    other._weigh(train.take(np.flatnonzero(held_out)), 0)
    assert model.weights == other.weights
    np.testing.assert_array_equal(model.item_offsets, fitted().item_offsets)  # of all rows


def test_rows_in_the_order_of_their_labels_have_weights():
    """Lists of a positive and nine negatives: every tenth row would be of one label."""
    train = SETS["train"].take(np.arange(len(SETS["train"])) // 10 * 10)
    train.labels[:, 0] = np.arange(len(train)) % 10 == 0
    weights = Rates(rated_spec(), counts=True).fit(train).weights
    assert weights["item"] != 1.0 and weights["rows of item"] != 0.0


def test_events_without_an_outcome_do_not_count():
    train = SETS["train"]
    outcomes = train.event_outcomes.copy()
    outcomes[::3] = np.nan
    rows = dataclasses.replace(SETS["test"], event_outcomes=outcomes)
    found = fitted(recent=3).scores(rows)["recent"]
    rate = float(train.labels.mean())
    for row, (start, length) in enumerate(zip(rows.starts, rows.lengths, strict=True)):
        some = outcomes[start : start + length][-3:]
        some = some[~np.isnan(some)]
        want = (some.sum() + 3.0 * rate) / (len(some) + 3.0)
        assert found[row] == pytest.approx(log_odds(want) - log_odds(rate), abs=1e-5)


def test_row_weights_count_rows():
    train = SETS["train"]
    twice = train.take(np.repeat(np.arange(len(train)), 2))
    heavy = train.take(np.arange(len(train)))
    heavy.weights = np.full(len(train), 2.0, np.float32)
    models = [Rates(rated_spec()).fit(rows, SETS["valid"]) for rows in (twice, heavy)]
    np.testing.assert_allclose(models[0].item_offsets, models[1].item_offsets)
    heavy.weights[::2] = 0.0  # such rows are left out
    half = Rates(rated_spec()).fit(train.take(np.arange(1, len(train), 2)), SETS["valid"])
    light = Rates(rated_spec()).fit(heavy, SETS["valid"])
    assert light.num_rates == half.num_rates


def test_shrinkage_leads_to_the_rate_of_all_rows():
    model = fitted(shrinkage=1e12)
    rate = float(SETS["valid"].labels.mean())
    np.testing.assert_allclose(model.logits(SETS["test"]), log_odds(rate), atol=1e-4)


def test_unseen_ids_and_empty_histories_score_0():
    rows = SETS["test"].take(np.array([0, 1]))
    rows.users[:] = [-77, -78]
    rows.items[:] = 1  # an unknown item
    rows.lengths[:] = 0
    model = fitted()
    assert [score.tolist() for score in model.scores(rows).values()] == [[0.0, 0.0]] * 3
    assert model.logits(rows).tolist() == [model.weights["bias"]] * 2


def test_labels_of_one_class():
    valid = SETS["valid"].take(np.arange(14))
    valid.labels[:] = 1.0
    model = fitted(valid=valid, counts=True)
    assert model.weights == {
        **{"item": 1.0, "user": 1.0, "recent": 1.0},
        **{"rows of item": 0.0, "rows of user": 0.0, "new": 0.0},
        "bias": pytest.approx(log_odds(model.rate)),
    }
    assert np.isfinite(model.logits(SETS["test"])).all()
    train = SETS["train"].take(np.arange(20))
    train.labels[:] = 0.0
    model = Rates(rated_spec(), shrinkage=1e-9).fit(train)
    assert np.isfinite(model.logits(SETS["test"])).all()


def test_a_wrong_option_is_told():
    with pytest.raises(UserError, match="`shrinkage` of Rates must be a number above 0. Rec"):
        Rates(rated_spec(), shrinkage=0.0)
    with pytest.raises(UserError, match="`shrinkag` must be an option of Rates.*`shrinkage`"):
        Rates(rated_spec(), shrinkag=1.0)
