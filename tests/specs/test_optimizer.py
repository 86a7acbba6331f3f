import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.optimizer import Optimizer


def test_defaults():
    assert Optimizer().dense == {"adam": 0.001}
    assert Optimizer().tables == {"row_wise_adagrad": 0.05}


def test_defaults_are_not_shared():
    assert Optimizer().dense is not Optimizer().dense


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("{sgd: 1}", "{sgdd: 1}", "Received: tables='sgdd'. Did you mean `sgd`"),
        ("{sgd: 1}", "{sgd: -1}", "the learning rate of `sgd` must be a number greater than 0."),
        ("1e-3", "0", "the learning rate of `adam` must be a number greater than 0."),
        ("dense:", "sparse:", "unknown key `sparse` in `train.optimizer`"),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)
