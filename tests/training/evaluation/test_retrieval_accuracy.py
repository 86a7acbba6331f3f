import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec

from lmn_tf.models import TwoTower
from lmn_tf.training.evaluation import retrieval_accuracy
from lmn_tf.training.evaluation.retrieval_accuracy import RetrievalAccuracy

SPEC = slim_spec()


@pytest.fixture(scope="module")
def model():
    model = TwoTower(SPEC, **SMALL_OPTIONS["two_tower"])
    model.build()
    return model


def rows(seed, count=40):
    features, labels = random_features(SPEC, count, seed=seed), random_labels(count, seed=seed)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(50, 3)).astype("float32")
    queries = rng.normal(size=(count, 3)).astype("float32")
    return features, labels, rng.random(count), queries, vectors[features["item"]]


@pytest.mark.parametrize("block", [4096, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_ranks_by_hand(model, weighted, block, monkeypatch):
    monkeypatch.setattr(retrieval_accuracy, "_BLOCK", block)
    accuracy, batches = RetrievalAccuracy(model), [rows(0), rows(0, count=9)]
    items, found, shares = {}, [], []
    for features, labels, weights, queries, candidates in batches:
        features["item"][:2] = [0, 1]  # missing, and unknown
        weights = weights if weighted else None
        accuracy.update(features, labels, weights, (queries, candidates))
        for one, vector in zip(features["item"].tolist(), candidates, strict=True):
            if one >= 2:
                items.setdefault(one, vector)
    for features, labels, weights, queries, candidates in batches:
        for row in np.flatnonzero(labels):
            score = np.float32(queries[row] @ candidates[row])
            others = [v for one, v in items.items() if one != features["item"][row]]
            higher = sum(np.float32(queries[row] @ v) > score for v in others)
            is_known = features["item"][row] in items
            found.append([higher < k and is_known for k in (1, 5, 10, 50, 100)])
            shares.append(weights[row] if weighted else 1.0)
    figures = accuracy.figures()
    assert figures.pop("items") == len(items) > 20
    assert list(figures) == ["top_1", "top_5", "top_10", "top_50", "top_100"]
    want = np.average(found, axis=0, weights=shares)
    np.testing.assert_allclose(list(figures.values()), want, rtol=1e-6)


def test_nothing_to_find_is_none(model):
    features, labels, _, queries, candidates = rows(0)
    accuracy = RetrievalAccuracy(model)
    accuracy.update(features, 0 * labels, None, (queries, candidates))
    assert set(list(accuracy.figures().values())[1:]) == {None}
    features["item"][:] = 1
    accuracy = RetrievalAccuracy(model)
    accuracy.update(features, labels, None, (queries, candidates))
    assert accuracy.figures() == dict.fromkeys(
        ("top_1", "top_5", "top_10", "top_50", "top_100")
    ) | {"items": 0}
