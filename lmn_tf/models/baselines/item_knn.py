"""Similarities of items by the users they share."""

import numpy as np
from scipy import sparse

from lmn_tf.models.baselines.item_pairs import ItemPairs
from lmn_tf.models.options import ItemKNNOptions

_BLOCK = 512  # candidates whose similarities are computed together


class ItemKNN(ItemPairs):
    """Shrunk co-occurrence of the residuals of two items, added to the rates.

    With `similarity="cosine"`, `similarity(j, c) = sum_u r_uj r_uc / (|r_j| |r_c| + shrinkage)`;
    with `"mean"`, `similarity(j, c) = sum_u r_uj r_uc / (n_jc + shrinkage)` where `n_jc` is the
    number of users with both: an exact table of pairs with shrinkage by their counts. See
    `ItemPairs` for residuals, and for
    `logit = w_0 + w_1 item + w_2 user + w_3 recent + w_4 pairs`.

    Weights are fitted to validation rows, or out of fold.

    Args:
        spec: `FeatureSpec` with all vocabularies.
        **options: Options.

    Complexity:
        `O(sum of squared profile lengths)` to fit, `O(L)` a row to score.

    Reference:
        Sarwar et al. 2001, "Item-based collaborative filtering recommendation algorithms". The
        residuals, `"mean"` and the weights are ours.

    Example:

    >>> ItemKNN(spec, neighbors=100).similarity
    'cosine'
    """

    Options = ItemKNNOptions

    def fit_similarities(self, residuals: sparse.csr_array) -> int:
        occurs = residuals.copy()
        occurs.data = np.ones_like(residuals.data)
        norms = np.sqrt(np.asarray(residuals.multiply(residuals).sum(axis=0)).ravel())
        blocks = []
        for start in range(0, residuals.shape[1], _BLOCK):
            block = slice(start, start + _BLOCK)
            products = residuals[:, block].T @ residuals
            if self.similarity == "mean":
                # Users with both, also where the sum of their residuals is 0 and not stored.
                sizes = occurs[:, block].T @ occurs
                sizes.data = 1.0 / (sizes.data + self.shrinkage)
                products = products.multiply(sizes).tocoo()
            else:
                products = products.tocoo()
                sizes = norms[products.row + start] * norms[products.col]
                products.data = products.data / (sizes + self.shrinkage)
            products.data[products.row + start == products.col] = 0.0
            blocks.append(_largest(products.tocsr(), self.neighbors))
        self.similarities = sparse.vstack(blocks, "csr")  # (candidates, items)
        return self.similarities.nnz

    def pair_scores(self, profiles: sparse.csr_array, candidates: np.ndarray) -> np.ndarray:
        return np.asarray(profiles.multiply(self.similarities[candidates]).sum(axis=1)).ravel()


def _largest(similarities, count):
    """Returns the `count` largest absolute values of each row."""
    similarities.eliminate_zeros()
    lengths = np.diff(similarities.indptr)
    if count is None or lengths.max(initial=0) <= count:
        return similarities
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((similarities.indices, -np.abs(similarities.data), rows))
    ranks = np.arange(len(order)) - similarities.indptr[rows]
    dropped = order[ranks >= count]
    similarities.data[dropped] = 0.0
    similarities.eliminate_zeros()
    return similarities
