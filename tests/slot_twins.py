"""Slow, obvious twins of the product-key search."""

import numpy as np


def best_slots(row_scores, column_scores, k):
    """Scores every slot and sorts them all, lowest slot first among equals.

    NaN counts as minus infinity.
    """
    row_scores, column_scores = (
        np.where(np.isnan(scores), -np.inf, scores).astype(scores.dtype)
        for scores in (row_scores, column_scores)
    )
    with np.errstate(invalid="ignore"):
        all_scores = row_scores[..., :, None] + column_scores[..., None, :]
    all_scores = np.where(np.isnan(all_scores), -np.inf, all_scores).astype(row_scores.dtype)
    all_scores = all_scores.reshape(*row_scores.shape[:-1], row_scores.shape[-1] ** 2)
    slots = np.argsort(-all_scores, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(all_scores, slots, axis=-1), slots
