import numpy as np
import pytest
from kitchen_sink import SMALL, kitchen_sink_spec, random_features, request_features

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


def test_the_newest_events_are_pooled_by_themselves():
    options = {"pooling": "sqrtn", "newest_events": 2, "softmax_weight": 1.0}
    model, features = Pooling(SPEC, **options, **SMALL), random_features(SPEC)
    model.build()
    groups = model.encode(features)
    both = model.read_histories(groups)
    assert len(both) == 2 and len(model.pooled_histories(groups)) == 2
    history, mask = groups["histories"]["clicks"]["history"].numpy(), features["clicks/mask"]
    for row in range(len(mask)):
        newest = history[row][mask[row]][-2:]
        want = newest.sum(axis=0) / max(np.sqrt(len(newest)), 1)
        np.testing.assert_allclose(both[1][row], want, rtol=1e-4, atol=1e-5)
    # The query of the second loss reads them as well.
    width = history.shape[-1]
    assert model.softmax_query.hidden[0][0].kernel.shape[0] == 2 * width


def test_candidates_of_one_user_share_the_newest_events():
    model = Pooling(SPEC, newest_events=2, interaction="product", **SMALL)
    request, windows = request_features(SPEC)
    np.testing.assert_allclose(model(request), model(windows), rtol=1e-4, atol=1e-5)
    features = random_features(SPEC)
    features["clicks/mask"][:] = False
    assert np.isfinite(model(features)).all()


def test_models_that_were_saved_before_newest_events_have_none():
    config = Pooling(SPEC, newest_events=2, **SMALL).get_config()
    config.pop("newest_events")
    assert Pooling.from_config(config).options.newest_events == 0
