import numpy as np
import pytest
from rated_items import rated, rated_spec, ratings, split
from scipy import sparse

from lmn_tf.models.baselines import item_knn
from lmn_tf.models.baselines.item_knn import ItemKNN

DATA = {name: rated(ratings(), rows) for name, rows in split(ratings()).items()}


def fitted(**options):
    model = ItemKNN(rated_spec(), outcome="liked", **options)
    return model.fit(DATA["train"], DATA["valid"])


def twin(residuals, similarity, shrinkage):
    """Similarities by loops over users; a residual of 0 means that the pair did not occur."""
    users, items = residuals.shape
    table = np.zeros((items, items))
    for a in range(items):
        for b in range(items):
            both = [u for u in range(users) if residuals[u, a] and residuals[u, b]]
            product = sum(residuals[u, a] * residuals[u, b] for u in both)
            size = len(both)
            if similarity == "cosine":
                size = (residuals[:, a] ** 2).sum() ** 0.5 * (residuals[:, b] ** 2).sum() ** 0.5
            table[a, b] = 0.0 if a == b else product / (size + shrinkage)
    return table


@pytest.mark.parametrize("similarity", ["cosine", "mean"])
def test_similarities_are_those_of_loops(similarity, monkeypatch):
    monkeypatch.setattr(item_knn, "_BLOCK", 4)
    model = fitted(similarity=similarity, shrinkage=0.5)
    want = twin(model.residuals.toarray(), similarity, 0.5)
    np.testing.assert_allclose(model.similarities.toarray(), want, atol=1e-9)


def test_residuals_that_cancel_have_a_similarity_of_0():
    """The product of sparse arrays leaves them out, but not how many users have both items."""
    residuals = sparse.csr_array(np.array([[0.5, 0.5], [0.5, -0.5], [0.5, 0.0]]))
    model = ItemKNN(rated_spec(), outcome="liked", similarity="mean", shrinkage=0.5)
    assert model.fit_similarities(residuals) == 0
    residuals = sparse.csr_array(np.array([[0.5, 0.5, 0.5], [0.5, -0.5, 0.5]]))
    assert model.fit_similarities(residuals) == 2
    assert model.similarities.toarray()[0].tolist() == [0.0, 0.0, 0.2]


def test_the_nearest_neighbors_are_kept():
    every = fitted(shrinkage=0.5).similarities.toarray()
    some = fitted(shrinkage=0.5, neighbors=3).similarities.toarray()
    for row, kept in zip(every, some, strict=True):
        best = np.argsort(-np.abs(row))[:3]
        assert set(np.flatnonzero(kept)) == set(best)
        np.testing.assert_array_equal(kept[best], row[best])
