import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import precision_score, recall_score

from lmn_tf.metrics import StreamingAUC
from lmn_tf.training.monitor.score_cards import (
    calibration_bins,
    calibration_image,
    calibration_ratio,
    pr_curve,
)


def counts(rows=4000, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.0, 2.0, rows).astype("float32")
    probabilities = 1 / (1 + np.exp(-logits))
    labels = (rng.random(rows) < probabilities).astype("float32")
    metric = StreamingAUC()
    metric.update_state(labels, logits)
    return metric.counts_by_score(), probabilities, labels


def test_precision_and_recall_at_each_threshold():
    curve, probabilities, labels = counts()
    [value] = pr_curve("valid", *curve).value
    assert value.tag == "valid/pr_curves"
    data = tf.make_ndarray(value.tensor)
    assert data.shape == (6, 501)
    for index in (0, 50, 250, 400):
        found = probabilities >= index / 500
        _, _, _, _, precision, recall = data[:, index]
        assert precision == pytest.approx(precision_score(labels, found), abs=2e-3)
        assert recall == pytest.approx(recall_score(labels, found), abs=2e-3)
    np.testing.assert_array_equal(data[:4].sum(axis=0), 4000)
    assert data[4, -1] == 1.0  # nothing scores 1


def test_bins_hold_a_tenth_of_the_rows():
    curve, probabilities, labels = counts()
    bins = calibration_bins(*curve)
    assert len(bins) == 10 and sum(one.rows for one in bins) == 4000
    assert all(one.rows == pytest.approx(400, abs=40) for one in bins)
    for one, rows in zip(bins, np.array_split(np.argsort(probabilities), 10), strict=True):
        assert one.predicted == pytest.approx(probabilities[rows].mean(), abs=0.01)
        assert one.low < one.observed < one.high
    inside = [one.low <= one.predicted <= one.high for one in bins]
    assert sum(inside) >= 8  # drawn from these probabilities
    assert calibration_ratio(*curve) == pytest.approx(probabilities.sum() / labels.sum(), rel=1e-3)


def test_equal_predictions_are_one_bin():
    [one] = calibration_bins(np.array([0.5]), np.array([30.0]), np.array([10.0]))
    assert (one.predicted, one.observed, one.rows) == (0.5, 0.25, 40.0)
    assert (one.low, one.high) == (pytest.approx(0.142, abs=1e-3), pytest.approx(0.402, abs=1e-3))


def test_without_positives_there_is_no_ratio():
    assert np.isnan(calibration_ratio(np.array([0.5]), np.array([1.0]), np.array([0.0])))


def test_few_rows_draw_no_picture():
    few, _, _ = counts(999)
    assert calibration_image("few", *few) is None
    enough, _, _ = counts(1000)
    image = calibration_image("enough", *enough)
    assert image.shape == (480, 640, 3) and image.dtype == np.uint8 and image.std() > 1
