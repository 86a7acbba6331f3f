import dataclasses
import math

import numpy as np
import pytest
from rated_items import ITEMS, history, rated, rated_spec, ratings, split

from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.item_knn import ItemKNN
from lmn_tf.models.baselines.item_pairs import ItemPairs
from lmn_tf.models.baselines.svd import SVD

FOUND = ratings()
ROWS = split(FOUND)
OUTCOME = {"outcome": "liked"}


def sets(outcomes=True, found=FOUND):
    return {name: rated(found, rows, outcomes) for name, rows in ROWS.items()}


class Given(ItemPairs):
    """Similarities that are given: of items `a` and `b`, `1 / (1 + a + 10 b)`."""

    def fit_similarities(self, residuals):
        self.known = residuals.toarray()
        ids = np.flatnonzero(self.column_of >= 0) - 2
        self.table = 1 / (1 + ids[:, None] + 10 * ids[None])
        return self.table.size

    def pair_scores(self, profiles, candidates):
        return np.einsum("rj,jr->r", profiles.toarray(), self.table[:, candidates])


def expected(model, user, item):
    """The sigmoid of the two rates of a pair."""
    users = model.user_rows(np.array([rated(FOUND, [(user, 0)]).users[0]]))
    logit = math.log(model.rate / (1 - model.rate))
    logit += model.item_offsets[item + 2] + model.user_offsets[users[0]]
    return 1 / (1 + math.exp(-logit))


def training_pairs(model, outcomes):
    """By user, then by item, the residuals of training rows and of the events they read."""
    pairs = {}
    for user, at in ROWS["train"]:
        events = {(user, t): FOUND[user][t] for t in range(max(at - 5, 0), at)}
        pairs.setdefault(user, {}).update(events)
    known = {}
    for user, events in pairs.items():
        rows = [FOUND[u][t] for u, t in ROWS["train"] if u == user]
        for item, liked in [*rows, *events.values()]:
            residual = liked - expected(model, user, item)
            known.setdefault(user, {}).setdefault(item, []).append(residual)
        if not outcomes:
            seen = {item for item, _ in events.values()}
            liked = {item for item, liked in rows if liked}
            known[user] = {item: [1.0] for item in seen | liked}
    return known


def pair_score(model, known, user, at, outcomes):
    """The pair score of a row: items of training, then new ones of the history; each once."""
    profile = dict(known.get(user, {}))
    for item, liked in history(FOUND, user, at):
        if item not in known.get(user, {}):
            residual = liked - expected(model, user, item) if outcomes else 1.0
            profile.setdefault(item, []).append(residual)
    candidate = FOUND[user][at][0]
    return sum(
        sum(some) / len(some) / (1 + item + 10 * candidate)
        for item, some in profile.items()
        if item != candidate
    )


@pytest.mark.parametrize("outcomes", [True, False])
def test_scores_are_those_of_loops(outcomes):
    data = sets(outcomes)
    model = Given(rated_spec(), **(OUTCOME if outcomes else {})).fit(data["train"], data["valid"])
    known = training_pairs(model, outcomes)
    want = np.zeros((15, ITEMS))
    for user, items in known.items():
        for item, some in items.items():
            want[user, item] = sum(some) / len(some)
    np.testing.assert_allclose(model.known, want, atol=1e-6)
    for name in ("valid", "test"):
        want = [pair_score(model, known, *row, outcomes) for row in ROWS[name]]
        got = model.scores(data[name])
        np.testing.assert_allclose(got["pairs"], want, atol=1e-6)
        assert np.ptp(got["pairs"]) > 0 and list(got)[-1] == "pairs"


def test_events_without_an_outcome_do_not_count():
    """They are as if they were of an unknown item."""
    data = sets()
    outcomes = data["train"].event_outcomes.copy()
    outcomes[::3] = np.nan
    items = np.where(np.isnan(outcomes), 1, data["train"].event_items)
    found = []
    for changes in ({"event_outcomes": outcomes}, {"event_items": items}):
        train, valid, test = (
            dataclasses.replace(data[name], **changes) for name in ("train", "valid", "test")
        )
        model = Given(rated_spec(), **OUTCOME).fit(train, valid)
        found.append((model.known, model.scores(test)["pairs"]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_the_most_frequent_items_have_pairs():
    data = sets()
    model = Given(rated_spec(), **OUTCOME, max_items=4).fit(data["train"], data["valid"])
    everything = Given(rated_spec(), **OUTCOME).fit(data["train"], data["valid"])
    counts = (everything.known != 0).sum(axis=0)
    assert model.known.shape == (15, 4)
    assert sorted((model.known != 0).sum(axis=0)) == sorted(counts)[-4:] or len(set(counts)) < 9
    rare = model.column_of[data["test"].items] < 0
    assert rare.any() and (model.scores(data["test"])["pairs"][rare] == 0).all()


MODELS = {
    "svd": lambda **more: SVD(rated_spec(), rank=2, shrinkage=more.pop("shrink", 1.0), **more),
    "ease": lambda **more: EASE(rated_spec(), l2=more.pop("shrink", 1.0), **more),
    "cosine": lambda **more: ItemKNN(rated_spec(), shrinkage=more.pop("shrink", 1.0), **more),
    "mean": lambda **more: ItemKNN(
        rated_spec(), similarity="mean", shrinkage=more.pop("shrink", 1.0), **more
    ),
}
each = pytest.mark.parametrize("name", MODELS)


@each
def test_test_labels_and_later_events_change_no_score(name):
    data = sets()
    before = MODELS[name](**OUTCOME).fit(data["train"], data["valid"]).logits(data["test"])
    later = [some[:-1] + [((some[-1][0]), 1 - some[-1][1])] for some in FOUND]
    changed = sets(found=later)
    assert (changed["test"].labels != data["test"].labels).all()
    changed["test"].items[:] = data["test"].items
    after = MODELS[name](**OUTCOME).fit(changed["train"], changed["valid"])
    np.testing.assert_array_equal(after.logits(changed["test"]), before)
    # Events after the training rows are no part of what is fitted to them.
    hidden = [some[:-2] + [(0, 0), (0, 0)] for some in FOUND]
    fit = MODELS[name](**OUTCOME).fit(sets(found=hidden)["train"], data["valid"])
    np.testing.assert_array_equal(fit.residuals.toarray(), after.residuals.toarray())


@each
def test_shrinkage_leads_to_the_rates(name):
    data = sets()
    model = MODELS[name](**OUTCOME, shrink=1e15, rate_shrinkage=3.0)
    model.fit(data["train"], data["valid"])
    np.testing.assert_allclose(model.scores(data["test"])["pairs"], 0, atol=1e-9)
    from lmn_tf.models.baselines.rates import Rates

    base = Rates(rated_spec(), **OUTCOME, shrinkage=3.0).fit(data["train"], data["valid"])
    np.testing.assert_allclose(model.logits(data["test"]), base.logits(data["test"]), atol=1e-3)


@each
def test_unseen_ids_and_empty_histories_are_finite(name):
    data = sets()
    rows = data["test"].take(np.arange(6))
    rows.users[:3] = -77
    rows.items[1:5] = [0, 1, 2, 1]
    rows.lengths[::2] = 0
    model = MODELS[name](**OUTCOME).fit(data["train"], data["valid"])
    assert np.isfinite(model.logits(rows)).all()
    pairs = model.scores(rows)["pairs"]
    assert pairs[0] == 0 and (pairs[[1, 2, 4]] == 0).all()


@each
def test_data_without_pairs_score_0(name):
    data = sets()
    train = data["train"].take(np.zeros(12, np.int64))
    model = MODELS[name](**OUTCOME).fit(train, data["valid"])
    assert (model.scores(data["test"])["pairs"] == 0).all()
    assert model.num_similarities == 0


def random_ratings(seed, users=300):
    """Items and labels without any rule."""
    draw = np.random.default_rng(seed)
    return [
        [(int(item), int(liked)) for item, liked in zip(items, draw.integers(0, 2, 9), strict=True)]
        for items in (draw.permutation(ITEMS) for _ in range(users))
    ]


@pytest.mark.parametrize(
    ("model_class", "options"),
    [
        (SVD, {"rank": 4, "shrinkage": 1.0}),
        (EASE, {"l2": 10.0}),
        (ItemKNN, {"shrinkage": 1.0}),
    ],
)
def test_labels_that_weights_are_fitted_to_are_not_known_as_events(model_class, options):
    """Where labels are random, pairs must not look as if they told those of held-out rows."""
    effects = []
    for seed in range(10, 14):
        found = random_ratings(seed)
        train = rated(found, split(found)["train"])
        model = model_class(rated_spec(), **options, **OUTCOME).fit(train)
        effects.append(model.weights["pairs"] * model.scores(train)["pairs"].std())
    assert abs(np.mean(effects)) < 0.2
