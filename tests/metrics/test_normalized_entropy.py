import numpy as np
import pytest
from sklearn.metrics import log_loss

from lmn_tf.metrics import NormalizedEntropy


def test_is_the_loss_over_the_base_rate_s_entropy():
    rng = np.random.default_rng(0)
    labels, logits = (rng.random(500) < 0.2).astype("float32"), rng.normal(size=500)
    weights = rng.random(500).astype("float32")
    metric = NormalizedEntropy()
    metric.update_state(labels, logits, weights)
    rate = np.average(labels, weights=weights)
    base = log_loss(labels, np.full(500, rate), sample_weight=weights)
    want = log_loss(labels, 1 / (1 + np.exp(-logits)), sample_weight=weights) / base
    assert float(metric.result()) == pytest.approx(want, rel=1e-5)


def test_the_base_rate_itself_scores_one():
    metric = NormalizedEntropy(from_logits=False)
    metric.update_state([1, 0, 0, 0], [0.25] * 4)
    assert float(metric.result()) == pytest.approx(1.0)


@pytest.mark.parametrize("labels", [[0.0, 0.0], [1.0, 1.0]])
def test_one_class_has_none(labels):
    metric = NormalizedEntropy()
    metric.update_state(labels, [0.0, 1.0])
    assert np.isnan(float(metric.result()))
