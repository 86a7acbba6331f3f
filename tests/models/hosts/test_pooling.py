import numpy as np
import pytest
from kitchen_sink import SMALL, kitchen_sink_spec, random_features

from lmn_tf.models import Pooling

SPEC = kitchen_sink_spec()


def read(model, features):
    return model.read_histories(model.encoder.encode(features))[0].numpy()


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrtn"])
def test_pools_valid_events_only(pooling):
    model, features = Pooling(SPEC, pooling=pooling, **SMALL), random_features(SPEC)
    history = model.encoder.encode(features)["histories"]["clicks"]["history"].numpy()
    mask = features["clicks/mask"][..., None]
    want = (history * mask).sum(axis=1)
    want /= {"mean": mask.sum(axis=1), "sum": 1, "sqrtn": np.sqrt(mask.sum(axis=1))}[pooling]
    np.testing.assert_allclose(read(model, features), want, rtol=1e-4, atol=1e-5)


def test_order_does_not_matter_and_nothing_is_zero():
    model, features = Pooling(SPEC, **SMALL), random_features(SPEC)
    before = read(model, features)
    turned = {
        key: value[:, ::-1] if key.startswith("clicks/") else value
        for key, value in features.items()
    }
    np.testing.assert_allclose(read(model, turned), before, rtol=1e-4, atol=1e-6)
    features["clicks/mask"][:] = False
    np.testing.assert_array_equal(read(model, features), np.zeros_like(before))


def test_the_mean_of_one_event_is_that_event():
    model, features = Pooling(SPEC, **SMALL), random_features(SPEC, length=1)
    history = model.encoder.encode(features)["histories"]["clicks"]["history"]
    np.testing.assert_allclose(read(model, features), history[:, 0], rtol=1e-6)
