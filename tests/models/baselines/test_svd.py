import numpy as np
from rated_items import rated, rated_spec, ratings, split

from lmn_tf.models.baselines.svd import SVD

DATA = {name: rated(ratings(), rows) for name, rows in split(ratings()).items()}


def fitted(**options):
    model = SVD(rated_spec(), outcome="liked", **options)
    return model.fit(DATA["train"], DATA["valid"])


def similarities(model):
    return model.vectors * model.factors @ model.vectors.T


def test_similarities_are_those_of_a_dense_decomposition():
    model = fitted(rank=3, shrinkage=2.0)
    _, values, vectors = np.linalg.svd(model.residuals.toarray())
    want = sum(
        np.outer(v, v) * s**2 / (s**2 + 2.0) for s, v in zip(values[:3], vectors[:3], strict=True)
    )
    np.testing.assert_allclose(similarities(model), want, atol=1e-9)


def test_without_shrinkage_it_is_the_projection_on_the_largest_vectors():
    model = fitted(rank=3, shrinkage=1e-9)
    left, values, vectors = np.linalg.svd(model.residuals.toarray(), full_matrices=False)
    want = (left[:, :3] * values[:3]) @ vectors[:3]  # the nearest matrix of rank 3
    got = model.residuals.toarray() @ similarities(model)
    np.testing.assert_allclose(got, want, atol=1e-7)


def test_the_rank_is_at_most_what_the_data_have():
    assert fitted(rank=500).vectors.shape == (9, 8)


def test_every_fit_gives_the_same_scores():
    first, second = (fitted(rank=3).logits(DATA["test"]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
