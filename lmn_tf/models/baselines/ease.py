"""Linear regression of each item on all others."""

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from lmn_tf.models.baselines.item_pairs import ItemPairs
from lmn_tf.models.options import EASEOptions

_WELL_CONDITIONED = 1e4  # condition of a matrix whose inverse is right to 1e-3 in float32
_LARGEST = 4_000  # rows that are inverted at once
_BLOCK = 1024  # rows that are mirrored at a time


class EASE(ItemPairs):
    """Ridge regression of the residuals of each item on those of all others, added to the rates.

    `similarity(j, c) = -P_jc / P_cc`, 0 for `j = c`, with `P = (R^T R + l2 I)^-1` and the matrix
    `R` of the residuals of users and items: the minimum of `|R - R B|^2 + l2 |B|^2` with a zero
    diagonal of `B`. See `ItemPairs` for residuals, and for
    `logit = w_0 + w_1 item + w_2 user + w_3 recent + w_4 pairs`.

    It is the best linear model of all pairs of items. With many items, only the `max_items` most
    frequent have pairs, since the matrix is dense: 20,000 take 5 GB in float32. It is float64 where
    `l2` is so small that float32 would not do. Weights are fitted to validation rows, or out
    of fold.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        **options: Options.

    Complexity:
        `O(items^3)` to fit, `O(L)` a row to score.

    Reference:
        Steck 2019, "Embarrassingly shallow autoencoders for sparse data", equation 8. Residuals and
        weights are ours.

    Example:

    >>> EASE(spec, l2=500.0).l2
    500.0
    """

    Options = EASEOptions

    def fit_similarities(self, residuals: sparse.csr_array) -> int:
        sizes = abs(residuals)
        condition = 1 + (sizes.T @ sizes.sum(axis=1)).max() / self.l2  # at most
        residuals = residuals.astype(np.float32 if condition < _WELL_CONDITIONED else np.float64)
        gram = (residuals.T @ residuals).toarray()
        gram[np.diag_indices_from(gram)] += self.l2
        inverse = _inverse(gram)
        inverse /= -np.diag(inverse)[:, None].copy()  # symmetric, so rows are candidates
        np.fill_diagonal(inverse, 0.0)
        self.similarities = inverse  # (candidates, items)
        return inverse.size

    def pair_scores(self, profiles: sparse.csr_array, candidates: np.ndarray) -> np.ndarray:
        rows = np.repeat(np.arange(len(candidates)), np.diff(profiles.indptr))
        found = self.similarities[candidates[rows], profiles.indices]
        return np.bincount(rows, profiles.data * found, len(candidates))


def _inverse(matrix):
    """Returns the inverse of a symmetric positive definite matrix, in its place.

    By its Cholesky factor, and in halves where it is large: products are most of the work then, and
    OpenBLAS, in several threads, has crashed on factors of matrices of 15,000 rows.
    """
    half = len(matrix) // 2
    if len(matrix) <= _LARGEST:
        return _small_inverse(matrix)
    first = _inverse(matrix[:half, :half].copy())
    across = first @ matrix[:half, half:]
    matrix[half:, half:] -= matrix[half:, :half] @ across
    last = matrix[half:, half:] = _inverse(matrix[half:, half:].copy())
    product = across @ last
    matrix[:half, :half] = first + product @ across.T
    matrix[:half, half:], matrix[half:, :half] = -product, -product.T
    return matrix


def _small_inverse(matrix):
    potrf, potri = lapack.get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, _ = potrf(matrix.T, lower=True, overwrite_a=True, clean=False)
    inverse, _ = potri(factor, lower=True, overwrite_c=True)
    for start in range(0, len(inverse), _BLOCK):
        stop = start + _BLOCK
        block = np.tril(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = block + np.tril(block, -1).T
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
    return inverse
