"""Weights of a few terms of a logit."""

import warnings

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.linear_model import LogisticRegression

ROWS_A_WEIGHT = 20  # of the rarer label

_C = 1e6  # nearly no regularization: of a few numbers and an offset
_C_OF_FEW_ROWS = 0.1  # where free weights were worse than none
_CONSTANT = 1e-6  # spread of a term that says nothing: rates of one half each, smallest pairs of 0


def fit_term_weights(
    terms: np.ndarray, labels: np.ndarray, row_weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fits a logistic regression of labels on terms.

    With fewer than `ROWS_A_WEIGHT` rows of the rarer label for each term, weights are drawn toward
    0: each has a normal prior with variance 0.1, for terms scaled to a standard deviation of 1.

    Args:
        terms: Float array of shape `(rows, terms)`.
        labels: Array of shape `(rows,)` of zeros and ones, both with weight.
        row_weights: Float array of shape `(rows,)`, above 0. Only their ratios matter.

    Returns:
        Float array of shape `(terms,)`; and the offset. Terms that are the same in all rows have
        the weight 0, and so have those that are 0 but in rows of one label: they would have an
        infinite one.
    """
    # Otherwise, the prior would count for more the smaller the unit of the weights.
    row_weights = row_weights / np.mean(row_weights)
    mean = np.average(terms, axis=0, weights=row_weights)
    spread = np.sqrt(np.average((terms - mean) ** 2, axis=0, weights=row_weights))
    in_both = [np.any(terms[labels == label] != 0, axis=0) for label in (0, 1)]
    weights, used = (
        np.zeros(terms.shape[1]),
        np.flatnonzero((spread > _CONSTANT) & np.all(in_both, axis=0)),
    )
    if not len(used):
        rate = np.average(labels, weights=row_weights)
        return weights, float(np.log(rate) - np.log1p(-rate))
    # Standardized, since the Hessian of counts, rates and sums of pairs is ill-conditioned. Where
    # terms still say nearly the same, scikit-learn goes on with L-BFGS.
    scaled = (terms[:, used] - mean[used]) / spread[used]
    are_few = min(np.bincount(labels.astype(int))) < ROWS_A_WEIGHT * terms.shape[1]
    c = _C_OF_FEW_ROWS if are_few else _C
    regression = LogisticRegression(C=c, solver="newton-cholesky", max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        regression.fit(scaled, labels, row_weights)
    weights[used] = regression.coef_[0] / spread[used]
    return weights, float(regression.intercept_[0] - weights @ mean)
