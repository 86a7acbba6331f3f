"""Slow, obvious twins of the product-key search."""

import numpy as np


def score_slots(row_scores, column_scores):
    """Scores every slot, as `(..., slots)`. NaN counts as minus infinity."""
    row_scores, column_scores = (
        np.where(np.isnan(scores), -np.inf, scores).astype(scores.dtype)
        for scores in (row_scores, column_scores)
    )
    with np.errstate(invalid="ignore"):
        scores = row_scores[..., :, None] + column_scores[..., None, :]
    scores = np.where(np.isnan(scores), -np.inf, scores).astype(row_scores.dtype)
    return scores.reshape(*row_scores.shape[:-1], row_scores.shape[-1] ** 2)


def best_slots(row_scores, column_scores, k):
    """Sorts the scores of every slot, lowest slot first among equals."""
    scores = score_slots(row_scores, column_scores)
    slots = np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(scores, slots, axis=-1), slots
