import numpy as np
import pytest
from kitchen_sink import SMALL_ATTENTION, SMALL_MEMORY, kitchen_sink_spec, random_features

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.models import LMN, UserAwarePooling

SPEC = kitchen_sink_spec()


def test_pools_the_queries_of_lmn():
    features = random_features(SPEC)
    control, lmn = UserAwarePooling(SPEC, **SMALL_ATTENTION), LMN(SPEC, **SMALL_MEMORY)
    control.build()
    lmn.build()
    lmn.encoder.set_weights(control.encoder.get_weights())
    lmn.memories["clicks"].user_aware_query.set_weights(control.queries["clicks"].get_weights())
    groups = lmn.encoder.encode(features)
    clicks = groups["histories"]["clicks"]
    clicks = EncodedHistory(clicks.events, clicks.event_windows)  # as queries are made
    queries = lmn.memories["clicks"].user_aware_query(
        clicks["history"], user=groups["user"], mask=clicks["mask"]
    )
    mask = features["clicks/mask"][..., None]
    want = (queries.numpy() * mask).sum(axis=1) / mask.sum(axis=1)
    got = control.read_histories(control.encoder.encode(features))[-1]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


def test_has_no_memory_and_no_memory_loss():
    model = UserAwarePooling(SPEC, **SMALL_ATTENTION)
    model(random_features(SPEC))
    assert model.losses == []
    assert not any("memory" in weight.path for weight in model.weights)


@pytest.mark.parametrize("options", [{"memory_pooling": "sum"}, {"memory_hidden_units": (5, 4)}])
def test_options(options):
    model = UserAwarePooling(SPEC, attention=False, **options, **SMALL_ATTENTION)
    assert np.isfinite(model(random_features(SPEC))).all()
    assert UserAwarePooling.from_config(model.get_config()).get_config() == model.get_config()
