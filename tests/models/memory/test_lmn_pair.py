import numpy as np
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec, random_features

from lmn_tf.models import LMNPair, Pooling

SPEC = kitchen_sink_spec()


def test_options_are_those_of_the_host_and_of_the_memory():
    model = LMNPair(SPEC, **SMALL_OPTIONS["lmn_pair"], pooling="sqrtn", pair_pooling="mean")
    assert set(Pooling.Options.model_fields) < set(LMNPair.Options.model_fields)
    assert model.pool.pooling == "sqrtn"
    assert model.pair_memories["clicks"].get_config()["num_slots"] == 500
    assert model.pair_memories["clicks"].pooling == "mean"


def test_what_it_learns_is_of_pairs():
    """The same item is liked after one item and not after another: no other part can tell."""
    features = random_features(SPEC, rows=8, length=1)
    features = {key: np.repeat(value[:1], 8, axis=0) for key, value in features.items()}
    features["clicks/mask"][:] = True
    features["item"] = np.int32([2, 3] * 4)
    features["clicks/item"] = np.int32([[2], [2], [3], [3]] * 2)
    labels = np.float32([[1], [0], [0], [1]] * 2)
    model = LMNPair(SPEC, hidden_units=(4,), batch_norm=False)
    model.build()
    for variable in model.trainable_variables:
        if "clicks_pairs" not in variable.path:
            variable.assign(np.zeros(variable.shape))  # no host
    model.compile()
    for _ in range(30):
        model.train_on_batch(features, labels)
    assert ((model(features).numpy() > 0) == labels).all()
