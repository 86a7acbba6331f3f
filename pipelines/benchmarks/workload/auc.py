"""The area under the ROC curve, the same for all contenders."""


def auc(labels, scores):
    """Share of correctly ordered pairs of a positive and a negative row; ties count half.

    Args:
        labels: Array of 0 and 1.
        scores: Array of the same length as `labels`.
    """
    import numpy as np

    labels = np.asarray(labels).ravel() > 0.5
    _, inverse, counts = np.unique(np.ravel(scores), return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    positives, negatives = int(labels.sum()), int((~labels).sum())
    above = ranks[inverse.ravel()[labels]].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
