import numpy as np
import pytest
from rated_items import rated, rated_spec, ratings, split

from lmn_tf.models.baselines import ease
from lmn_tf.models.baselines.ease import EASE

DATA = {name: rated(ratings(), rows) for name, rows in split(ratings()).items()}


def fitted(l2):
    model = EASE(rated_spec(), outcome="liked", l2=l2)
    return model.fit(DATA["train"], DATA["valid"])


def test_similarities_are_those_of_the_inverse():
    model = fitted(2.0)
    residuals = model.residuals.toarray()
    inverse = np.linalg.inv(residuals.T @ residuals + 2.0 * np.eye(9))
    for item in range(9):
        for candidate in range(9):
            want = (
                0.0
                if item == candidate
                else -inverse[item, candidate] / inverse.diagonal()[candidate]
            )
            assert abs(model.similarities[candidate, item] - want) < 1e-9


def test_each_item_is_the_ridge_regression_on_the_others():
    model = fitted(2.0)
    residuals = model.residuals.toarray()
    for candidate in range(9):
        others = [item for item in range(9) if item != candidate]
        x, y = residuals[:, others], residuals[:, candidate]
        want = np.linalg.solve(x.T @ x + 2.0 * np.eye(8), x.T @ y)
        np.testing.assert_allclose(model.similarities[candidate, others], want, atol=1e-9)
        assert model.similarities[candidate, candidate] == 0


@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_the_inverse_is_that_of_numpy(size, monkeypatch):
    monkeypatch.setattr(ease, "_LARGEST", 5)
    monkeypatch.setattr(ease, "_BLOCK", 2)
    draws = np.random.default_rng(0).normal(size=(size, size + 3))
    matrix = draws @ draws.T + np.eye(size)
    np.testing.assert_allclose(ease._inverse(matrix.copy()), np.linalg.inv(matrix), atol=1e-9)
    monkeypatch.setattr(ease, "_LARGEST", 50)
    np.testing.assert_allclose(ease._inverse(matrix.copy()), np.linalg.inv(matrix), atol=1e-9)
