import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import ExpertMixture

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
ARGUMENTS = {"num_experts": 3, "num_tasks": 2, "hidden_units": (4,), "activation": "prelu"}


def test_is_a_layer_like_any():
    check_layer(ExpertMixture, ARGUMENTS, {"inputs": X})


def test_each_task_weighs_the_experts_for_itself():
    layer = ExpertMixture(**ARGUMENTS)
    got = layer(X).numpy()
    experts = np.stack([expert(X).numpy() for expert in layer.experts], axis=1)
    (gate,) = layer.gate.get_weights()
    for task in range(2):
        scores = X @ gate[:, 3 * task : 3 * task + 3]
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        want = (weights[:, :, None] * experts).sum(1)
        np.testing.assert_allclose(got[:, task], want, rtol=1e-4, atol=1e-6)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="`num_experts` must be .*Received: num_experts=0"):
        ExpertMixture(0, 2)
    with pytest.raises(ValueError, match="`num_tasks` must be .*Received: num_tasks=0"):
        ExpertMixture(2, 0)
