"""TensorBoard summaries of predictions: precision and recall, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

_THRESHOLDS = 501
_LEAST_ROWS = 1000  # fewer tell nothing in ten bins
_Z = 1.96  # of a 95 % interval


class CalibrationBin(NamedTuple):
    """Rows of similar predictions.

    Attributes:
        predicted: Float. Mean predicted probability.
        observed: Float. Share of positives.
        low: Float. Lower end of the 95 % interval of `observed` (Wilson).
        high: Float. Upper end.
        rows: Float. Number of rows, or their weight.
    """

    predicted: float
    observed: float
    low: float
    high: float
    rows: float


def pr_curve(
    name: str, probabilities: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> Summary:
    """Creates the summary of a precision-recall curve.

    Args:
        name: String. The tag is `NAME/pr_curves`.
        probabilities: Ascending array of shape `(bins,)`.
        negatives: Array of shape `(bins,)`. Number of negatives with that probability.
        positives: Array of shape `(bins,)`. Number of positives with that probability.

    Returns:
        `Summary` for `tf.summary.experimental.write_raw_pb`.
    """
    from tensorboard.plugins.pr_curve import summary

    thresholds = np.linspace(0.0, 1.0, _THRESHOLDS)
    first = np.searchsorted(probabilities, thresholds)  # of the rows at or above a threshold
    below = [np.concatenate([[0.0], np.cumsum(part)])[first] for part in (negatives, positives)]
    true_negatives, false_negatives = below
    false_positives = negatives.sum() - true_negatives
    true_positives = positives.sum() - false_negatives
    found = true_positives + false_positives
    return summary.raw_data_pb(
        name,
        true_positives,
        false_positives,
        true_negatives,
        false_negatives,
        # Above all predictions, as in scikit-learn.
        precision=np.where(found > 0, true_positives / np.maximum(found, 1e-12), 1.0),
        recall=true_positives / max(positives.sum(), 1e-12),
        num_thresholds=_THRESHOLDS,
        description=(
            "Precision among the rows that score above a threshold, and the share of all positives "
            "that are among them."
        ),
    )


def calibration_ratio(
    probabilities: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> float:
    """Returns the sum of the predictions divided by the number of positives; NaN without any.

    Args:
        probabilities: Array of shape `(bins,)`.
        negatives: Array of shape `(bins,)`.
        positives: Array of shape `(bins,)`.

    Example:

    >>> calibration_ratio(np.array([0.5]), np.array([3.0]), np.array([1.0]))
    2.0
    """
    total = positives.sum()
    return float((probabilities @ (negatives + positives)) / total) if total > 0 else float("nan")


def calibration_bins(
    probabilities: np.ndarray, negatives: np.ndarray, positives: np.ndarray, count: int = 10
) -> list[CalibrationBin]:
    """Divides rows by their prediction into bins of about equal size.

    Args:
        probabilities: Ascending array of shape `(bins,)`.
        negatives: Array of shape `(bins,)`.
        positives: Array of shape `(bins,)`.
        count: Integer. Number of bins. Defaults to `10`.

    Returns:
        List of at most `count` `CalibrationBin`, ascending in the prediction.

    Example:

    >>> [bin] = calibration_bins(np.array([0.5]), np.array([3.0]), np.array([1.0]))
    >>> bin.predicted, bin.observed, bin.rows
    (0.5, 0.25, 4.0)
    """
    rows = negatives + positives
    middle = (np.cumsum(rows) - rows / 2) / max(rows.sum(), 1e-12)
    which = np.minimum((middle * count).astype(int), count - 1)
    bins = []
    for index in np.unique(which):
        in_bin = which == index
        weight, clicks = rows[in_bin].sum(), positives[in_bin].sum()
        share = clicks / weight
        scale = 1.0 + _Z**2 / weight
        center = (share + _Z**2 / (2 * weight)) / scale
        half = _Z / scale * np.sqrt(share * (1 - share) / weight + _Z**2 / (4 * weight**2))
        predicted = probabilities[in_bin] @ rows[in_bin] / weight
        numbers = (predicted, share, center - half, center + half, weight)
        bins.append(CalibrationBin(*map(float, numbers)))
    return bins


def calibration_image(
    title: str, probabilities: np.ndarray, negatives: np.ndarray, positives: np.ndarray
) -> np.ndarray | None:
    """Draws the observed share of positives by predicted probability, in ten bins.

    Args:
        title: String.
        probabilities: Ascending array of shape `(bins,)`.
        negatives: Array of shape `(bins,)`.
        positives: Array of shape `(bins,)`.

    Returns:
        `uint8` array of shape `(height, width, 3)`, or `None` for fewer than 1,000 rows.
    """
    if (negatives + positives).sum() < _LEAST_ROWS:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bins = calibration_bins(probabilities, negatives, positives)
    predicted, observed, low, high, _ = map(np.array, zip(*bins, strict=True))
    figure = Figure(figsize=(6.4, 4.8), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    limits = [0.0, 1.05 * max(predicted.max(), high.max())]
    axes.plot(limits, limits, "--", color="gray", linewidth=1, label="calibrated")
    errors = [np.maximum(observed - low, 0), np.maximum(high - observed, 0)]
    axes.errorbar(predicted, observed, errors, fmt="o-", capsize=3, label="this model")
    axes.legend(loc="upper left")
    axes.set(
        xlim=limits,
        ylim=limits,
        xlabel="predicted probability (mean of a tenth of the rows)",
        ylabel="observed share of positives, 95 % interval",
        title=title,
    )
    axes.grid(alpha=0.3)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
