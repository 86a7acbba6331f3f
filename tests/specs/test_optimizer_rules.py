import pytest

from lmn_tf.specs.optimizer import check_one_rule
from lmn_tf.specs.yaml.section import Problem


@pytest.mark.parametrize(
    "rule",
    [
        {"adam": 0.1},
        {"sgd": 1},
        {"adam": {"learning_rate": 0.1}},
        {"adam": {"beta_1": 0.5}},
        {"row_wise_adam": 0.001},
        {"sparse_adagrad": {"weight_decay": 0.1}},
    ],
)
def test_accepts(rule):
    check_one_rule("dense", rule)


@pytest.mark.parametrize(
    "rule, path, message",
    [
        ({}, ("dense",), "exactly one optimizer. Received: none"),
        ({"adam": 1, "sgd": 1}, ("dense",), "exactly one optimizer. Received: adam, sgd"),
        ({"adm": 1}, ("dense", "adm"), "Did you mean `adam`?"),
        ({"adam": 0}, ("dense", "adam"), "greater than 0. Received: learning_rate=0"),
        ({"adam": True}, ("dense", "adam"), "greater than 0"),
        ({"adam": "0.1"}, ("dense", "adam"), "greater than 0"),
        ({"adam": float("nan")}, ("dense", "adam"), "Received: learning_rate=nan"),
        ({"adam": {"learning_rate": -1}}, ("dense", "adam", "learning_rate"), "greater than 0"),
    ],
)
def test_refuses(rule, path, message):
    with pytest.raises(Problem, match=".") as caught:
        check_one_rule("dense", rule)
    assert caught.value.path == path
    assert message in str(caught.value)
