"""Low rank of the residuals of users and items."""

import numpy as np
from scipy import sparse

from lmn_tf.models.baselines.item_pairs import ItemPairs
from lmn_tf.models.options import SVDOptions


class SVD(ItemPairs):
    """Singular vectors of the residuals of users and items, added to the rates.

    `similarity(j, c) = sum_k v_jk v_ck s_k^2 / (s_k^2 + shrinkage)`, with the `rank` largest
    singular values `s` of the matrix of residuals and its right singular vectors `v`: the ridge
    regression of all items on all items in the space of these vectors. See `ItemPairs` for
    residuals, and for `logit = w_0 + w_1 item + w_2 user + w_3 recent + w_4 pairs`.

    A low-rank model is all that a dot product of a user and an item can express. Weights are fitted
    to validation rows, or out of fold.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        **options: Options.

    Complexity:
        `O(pairs * rank)` an iteration to fit, `O(L rank)` a row to score.

    Reference:
        Cremonesi, Koren, Turrin 2010, "Performance of recommender algorithms on top-N
        recommendation tasks": PureSVD. Residuals, shrinkage and weights are ours.

    Example:

    >>> SVD(spec, rank=4).rank
    4
    """

    Options = SVDOptions

    def fit_similarities(self, residuals: sparse.csr_array) -> int:
        rank = min(self.rank, min(residuals.shape) - 1)
        # A fixed start, so that every fit gives the same vectors.
        start = np.full(min(residuals.shape), min(residuals.shape) ** -0.5)
        _, values, vectors = sparse.linalg.svds(residuals, rank, v0=start)
        self.vectors = vectors.T  # (columns, rank)
        self.factors = values**2 / (values**2 + self.shrinkage)
        return self.vectors.size + self.factors.size

    def pair_scores(self, profiles: sparse.csr_array, candidates: np.ndarray) -> np.ndarray:
        users = profiles @ self.vectors * self.factors  # (rows, rank)
        return np.einsum("rk,rk->r", users, self.vectors[candidates])
