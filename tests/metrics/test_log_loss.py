import numpy as np
import pytest
from sklearn.metrics import log_loss

from lmn_tf.metrics import LogLoss


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels, logits = rng.integers(0, 2, 500), rng.normal(size=500) * 3
    weights = rng.random(500).astype("float32")
    metric = LogLoss(dtype="float64")
    metric.update_state(labels, logits, weights)
    want = log_loss(labels, 1 / (1 + np.exp(-logits)), sample_weight=weights)
    assert float(metric.result()) == pytest.approx(want, rel=1e-6)


def test_the_toy_example():
    labels = [1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0]
    scores = [0.9, 0.8, 0.1, 0.2, 0.7, 0.3, 0.4, 0.6, 0.6, 0.9, 0.1]
    metric = LogLoss(from_logits=False)
    metric.update_state(labels, scores)
    assert float(metric.result()) == pytest.approx(0.648992, abs=1e-6)


@pytest.mark.parametrize(("from_logits", "wrong"), [(True, [80.0, -80.0]), (False, [1.0, 0.0])])
def test_sure_mistakes_are_clipped(from_logits, wrong):
    metric = LogLoss(from_logits=from_logits, dtype="float64")
    metric.update_state([0, 1], wrong)
    assert float(metric.result()) == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_many_small_losses_add_up_in_float64():
    metric = LogLoss(dtype="float64")
    metric.update_state([1.0], [0.0], [2.0**26])
    for _ in range(8):
        metric.update_state([1.0], [-20.0])
    want = (2**26 * np.log(2) + 8 * -np.log(1e-7)) / (2**26 + 8)
    assert float(metric.result()) == pytest.approx(want, rel=1e-12)


def test_nothing_seen_is_nan():
    assert np.isnan(float(LogLoss().result()))
