import json

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import Distribute
from lmn_tf.training.distribution import Distribution

CLUSTER = {"worker": ["127.0.0.1:1"], "ps": ["127.0.0.1:2"]}


def environment(role="chief"):
    return {"TF_CONFIG": json.dumps({"cluster": CLUSTER, "task": {"type": role, "index": 0}})}


def test_one_process_needs_nothing():
    distribution = Distribution(Distribute(), {"TF_CONFIG": "not looked at"})
    with distribution.connected(print), distribution.scope():
        assert distribution.strategy is None and not distribution.is_asynchronous


def test_the_cluster_is_that_of_the_environment():
    distribution = Distribution(Distribute(strategy="parameter_server"), environment())
    assert distribution.is_asynchronous
    assert distribution.cluster.workers == ("127.0.0.1:1",)


@pytest.mark.parametrize(
    ("strategy", "variables", "message"),
    [
        ("parameter_server", {}, "`TF_CONFIG` must have .*`lmn-tf launch` starts a cluster"),
        ("parameter_server", environment("worker"), "must be chief for the process that trains"),
    ],
)
def test_refuses_what_can_not_be_had(strategy, variables, message):
    with pytest.raises(UserError, match=message):
        Distribution(Distribute(strategy=strategy), variables)
