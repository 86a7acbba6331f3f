import numpy as np
import pytest
from kitchen_sink import (
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    read_with_and_without_memory,
)

from lmn_tf.models import LMNSIM, SIM

SPEC = kitchen_sink_spec()


def test_the_head_sees_the_host_and_the_memory():
    parts, own = read_with_and_without_memory(
        LMNSIM, SIM, SMALL_OPTIONS["lmn_sim"], SMALL_OPTIONS["sim"]
    )
    assert len(parts) == len(own) + 1
    for got, want in zip(parts, own, strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert parts[-1].shape == (6, 11)


@pytest.mark.slow
def test_the_loss_of_the_search_stays_beside_the_memory_of_hidden_layers():
    model = LMNSIM(SPEC, **SMALL_OPTIONS["lmn_sim"], memorize="hidden", memory_dim=4)
    model.compile()
    features, labels = random_features(SPEC), np.array([[1.0], [0.0]] * 3, "float32")
    logs = model.train_on_batch(features, labels, return_dict=True)
    assert float(logs["search_loss"]) > 0
    assert float(logs["memory_loss"]) > 0
