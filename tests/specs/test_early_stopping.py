import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.train import EarlyStopping


def test_defaults():
    assert EarlyStopping() == EarlyStopping(monitor="auc", patience=2)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("monitor: gauc", "monitor: gac", "Did you mean `gauc`?"),
        (
            "patience: 1",
            "patience: 0",
            "`train.early_stopping.patience` must be at least 1. Received: patience=0",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)
