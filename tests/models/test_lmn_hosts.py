import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec, random_features

from lmn_tf.models import LMNMIMN, LMNSIM, MIMN, SIM
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()


@pytest.mark.parametrize("host,plugged,name", [(SIM, LMNSIM, "sim"), (MIMN, LMNMIMN, "mimn")])
def test_the_head_sees_the_host_and_the_memory(host, plugged, name):
    features = random_features(SPEC)
    model = plugged(SPEC, **SMALL_OPTIONS[f"lmn_{name}"])
    model.build()
    alone = host(SPEC, **SMALL_OPTIONS[name])
    alone.build()
    taken = {weight.path.split("/", 1)[1]: weight for weight in model.weights}
    for weight in alone.weights:
        if "/head/" not in weight.path:
            weight.assign(taken[weight.path.split("/", 1)[1]])
    parts = model.read_histories(model.encoder(features))
    own = alone.read_histories(alone.encoder(features))
    assert len(parts) == len(own) + 1
    for got, want in zip(parts, own, strict=False):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)
    assert parts[-1].shape == (6, 11)


def test_the_loss_of_the_search_stays_beside_the_memory_of_hidden_layers():
    model = LMNSIM(SPEC, **SMALL_OPTIONS["lmn_sim"], memorize="hidden", memory_dim=4)
    model.compile()
    features, labels = random_features(SPEC), np.array([[1.0], [0.0]] * 3, "float32")
    logs = model.train_on_batch(features, labels, return_dict=True)
    assert float(logs["search_loss"]) > 0
    assert float(logs["memory_loss"]) > 0


def test_there_is_no_incremental_state_with_a_memory():
    model = LMNMIMN(SPEC, **SMALL_OPTIONS["lmn_mimn"])
    with pytest.raises(UserError, match="must be given whole histories.*Received: batch_size=3"):
        model.initial_state(3)
