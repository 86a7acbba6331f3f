"""Figures of predictions, the same for all contenders."""

from workload.auc import auc


def quality(labels, scores, groups):
    """AUC, GAUC and log loss as `lmn-tf evaluate` defines them, without its TensorFlow.

    GAUC is the AUC within each group, weighted by its rows; groups of one class are left out.

    Args:
        labels: Array of 0 and 1.
        scores: Array of probabilities, of the same length as `labels`.
        groups: Array of integers, of the same length.

    Returns:
        Dictionary with `auc`, `gauc` and `logloss`.
    """
    import numpy as np

    labels, groups = np.ravel(labels) > 0.5, np.ravel(groups)
    scores = np.ravel(scores).astype(np.float64)
    order = np.argsort(groups, kind="stable")
    ends = np.flatnonzero(np.diff(groups[order])) + 1
    parts = [part for part in np.split(order, ends) if 0 < labels[part].sum() < len(part)]
    within = [auc(labels[part], scores[part]) for part in parts]
    right = np.where(labels, scores, 1 - scores)
    return {
        "auc": auc(labels, scores),
        "gauc": float(np.average(within, weights=[len(part) for part in parts])),
        "logloss": float(-np.log(np.maximum(right, 1e-7)).mean()),
    }
