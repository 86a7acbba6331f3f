"""Weights of a few terms of a logit."""

import warnings

import numpy as np
from scipy.linalg import LinAlgWarning
from sklearn.linear_model import LogisticRegression

_C = 1e6  # nearly no regularization: of a few numbers and an offset
_CONSTANT = 1e-6  # spread of a term that says nothing: rates of one half each, smallest pairs of 0


def fit_term_weights(
    terms: np.ndarray, labels: np.ndarray, row_weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Fits a logistic regression of labels on terms.

    Args:
        terms: Float array of shape `(rows, terms)`.
        labels: Array of shape `(rows,)` of zeros and ones, both with weight.
        row_weights: Float array of shape `(rows,)`, above 0.

    Returns:
        Float array of shape `(terms,)`; and the offset. Terms that are the same in all rows have
        the weight 0, and so have those that are 0 but in rows of one label: they would have an
        infinite one.
    """
    mean, spread = terms.mean(axis=0), terms.std(axis=0)
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
    regression = LogisticRegression(C=_C, solver="newton-cholesky", max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LinAlgWarning)
        regression.fit(scaled, labels, row_weights)
    weights[used] = regression.coef_[0] / spread[used]
    return weights, float(regression.intercept_[0] - weights @ mean)
