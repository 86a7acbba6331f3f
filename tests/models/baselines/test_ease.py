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
            assert abs(model.similarities[candidate, item] - want) < 1e-6


@pytest.mark.parametrize(
    ("l2", "dtype", "tolerance"), [(0.5, np.float32, 1e-5), (1e-4, np.float64, 1e-8)]
)
def test_float32_is_for_matrices_that_allow_it(l2, dtype, tolerance):
    model = fitted(l2)
    assert model.similarities.dtype == dtype
    residuals = model.residuals.toarray()
    inverse = np.linalg.inv(residuals.T @ residuals + l2 * np.eye(9))
    want = -inverse / inverse.diagonal()[:, None]
    np.fill_diagonal(want, 0.0)
    np.testing.assert_allclose(model.similarities, want, atol=tolerance)


def test_each_item_is_the_ridge_regression_on_the_others():
    model = fitted(2.0)
    residuals = model.residuals.toarray()
    for candidate in range(9):
        others = [item for item in range(9) if item != candidate]
        x, y = residuals[:, others], residuals[:, candidate]
        want = np.linalg.solve(x.T @ x + 2.0 * np.eye(8), x.T @ y)
        np.testing.assert_allclose(model.similarities[candidate, others], want, atol=1e-6)
        assert model.similarities[candidate, candidate] == 0


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("size", [1, 2, 7, 40])
def test_the_inverse_is_that_of_numpy(size, dtype, tolerance, monkeypatch):
    monkeypatch.setattr(ease, "_BLOCK", 2)
    draws = np.random.default_rng(0).normal(size=(size, size + 3))
    matrix = draws @ draws.T + np.eye(size)
    for largest in (5, 50):
        monkeypatch.setattr(ease, "_LARGEST", largest)
        inverse = ease._inverse(matrix.astype(dtype))
        assert inverse.dtype == dtype
        np.testing.assert_allclose(inverse, np.linalg.inv(matrix), atol=tolerance)
