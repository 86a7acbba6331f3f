import types

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.serving.parity import ExportError
from lmn_tf.serving.quantization_loss import check_loss
from lmn_tf.specs.errors import UserError

LOGITS = np.array([-2, -1, 0, 1, 2, 3], np.float32)
CLICKS = np.array([0, 1, 0, 1, 1, 0], np.float32)


class Model:
    """A model with the logits of its input for the first label, and their negatives."""

    spec = types.SimpleNamespace(
        labels=[types.SimpleNamespace(name="click"), types.SimpleNamespace(name="buy")]
    )
    encoder = types.SimpleNamespace(
        signature=lambda padded: {"x": tf.TensorSpec([None], tf.float32)}
    )

    def __call__(self, features, training):
        return tf.stack([features["x"], -features["x"]], axis=1)


def batches(clicks=CLICKS, weights=None):
    """Two batches of rows: features, labels and perhaps weights."""
    labels = np.stack([clicks, 1 - clicks], axis=1)
    columns = [LOGITS, labels] + ([] if weights is None else [weights])
    for rows in (slice(0, 4), slice(4, 6)):
        features, *others = (tf.constant(column[rows]) for column in columns)
        yield {"x": features, "group": features}, *others


def served(change=0.0):
    def served(features):
        logits = features["x"].numpy() + change * (features["x"].numpy() == 2)
        return 1 / (1 + np.exp(-np.stack([logits, -logits], axis=1)))

    return served


def test_equal_scores_lose_nothing():
    report = check_loss(Model(), served(), batches(), 0.0)
    assert report["rows"] == 6 and report["largest_difference"] < 1e-6
    # Of nine pairs, the click has the higher score in five.
    assert report["auc"]["click"] == {"model": 5 / 9, "exported": 5 / 9, "loss": 0.0}
    assert report["auc"]["buy"]["model"] == pytest.approx(5 / 9)


def test_a_loss_is_told_and_refused_where_it_is_too_large():
    report = check_loss(Model(), served(-2.5), batches(), 0.2)
    assert report["auc"]["click"]["loss"] == pytest.approx(1 / 9)
    assert 0.2 < report["largest_difference"] and 0 < report["mean_difference"] < 0.1
    message = "lose at most 0.1 of the AUC of `click`. Received: 0.44444 on 6 rows.* 0.55556. Take"
    with pytest.raises(ExportError, match=message):
        check_loss(Model(), served(-2.5), batches(), 0.1)


def test_a_gain_is_a_negative_loss():
    report = check_loss(Model(), served(+2.5), batches(), 0.0)
    assert report["auc"]["click"]["loss"] == pytest.approx(-1 / 9)


def test_rows_count_by_their_weight():
    alone = np.array([1, 1, 0, 0, 0, 0], np.float32)
    report = check_loss(Model(), served(), batches(weights=alone), 0.0)
    assert report["auc"]["click"]["model"] == 1.0


def test_rows_of_one_class_have_no_auc():
    message = "`rows` must hold both classes of `click` .* Received: 6 rows of one class"
    with pytest.raises(UserError, match=message):
        check_loss(Model(), served(), batches(clicks=np.ones(6, np.float32)), 0.1)
