import math

import pytest

from lmn_tf.training.early_stopping import EarlyStopping


def run(stopping, values):
    for epoch, value in enumerate(values):
        stopping.update(epoch, value)
        if stopping.should_stop:
            break
    return epoch


@pytest.mark.parametrize(
    ("monitor", "values", "best", "last"),
    [
        ("auc", [0.5, 0.7, 0.6, 0.65, 0.9], 1, 3),
        ("gauc", [0.5, 0.6, 0.7], 2, 2),
        ("logloss", [0.7, 0.5, 0.6, 0.55, 0.1], 1, 3),
        ("auc", [0.7, 0.7, 0.7, 0.8], 0, 2),
        ("auc", [math.nan, 0.5, math.nan, math.nan], 1, 3),
        ("auc", [math.nan, math.nan, 0.9], None, 1),
    ],
)
def test_best_and_last_epoch(monitor, values, best, last):
    stopping = EarlyStopping(monitor, patience=2)
    assert run(stopping, values) == last
    assert stopping.best_epoch == best


def test_goes_on_from_its_state():
    first = EarlyStopping("auc", patience=2)
    run(first, [0.7, 0.6])
    second = EarlyStopping("auc", patience=2)
    second.restore(first.state())
    assert not second.should_stop
    assert second.update(2, 0.6) is False and second.should_stop
    assert second.best_value == 0.7


def test_patience_must_be_positive():
    with pytest.raises(ValueError, match="`patience` must be a positive .* patience=0"):
        EarlyStopping(patience=0)
