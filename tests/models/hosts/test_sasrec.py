import keras
import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, random_features, slim_spec

from lmn_tf.models import SASRec
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["sasrec"]


def make(**options):
    keras.utils.set_random_seed(1)
    model = SASRec(SPEC, **{**SMALL, **options})
    model.build()
    return model


@pytest.mark.parametrize("pre_norm", [False, True])
def test_the_head_reads_the_newest_state_and_its_product_with_the_candidate(pre_norm):
    model, features = make(pre_norm=pre_norm), random_features(SPEC)
    groups = model.encoder.encode(features)
    one = groups["histories"]["clicks"]
    state, product = model.read_histories(groups)
    encoder = model.history_encoders["clicks"]
    assert encoder.pre_norm == pre_norm
    np.testing.assert_array_equal(state, encoder(one["history"], mask=one["mask"]))
    np.testing.assert_array_equal(product, state * one["target"])


def test_the_state_does_not_depend_on_the_candidate():
    model, features = make(), random_features(SPEC)
    before = model.read_histories(model.encoder.encode(features))
    changed = {**features, "item": features["item"] % 40 + 1}
    after = model.read_histories(model.encoder.encode(changed))
    np.testing.assert_array_equal(after[0], before[0])
    assert np.abs(after[1] - before[1]).max() > 0


def test_a_history_of_one_event():
    model, features = make(), random_features(SPEC)
    features["clicks/mask"][:, 1:] = False
    state, _ = model.read_histories(model.encoder.encode(features))
    assert np.isfinite(state).all() and np.abs(state).max() > 0
    features["clicks/mask"][:] = False
    assert all(
        (part.numpy() == 0).all() for part in model.read_histories(model.encoder.encode(features))
    )


def test_only_the_newest_events_are_read():
    model, features = make(max_positions=2), random_features(SPEC)
    features["clicks/mask"][:] = True
    before = model(features)
    changed = dict(features, **{"clicks/item": features["clicks/item"].copy()})
    changed["clicks/item"][:, :3] = 1
    np.testing.assert_array_equal(model(changed), before)


def test_each_sequence_has_its_own_encoder():
    clicks = SPEC.to_dict()["sequences"][0]
    spec = slim_spec(sequences=[clicks, {**clicks, "name": "buys"}])
    model = SASRec(spec, **SMALL)
    assert len(model.read_histories(model.encoder.encode(random_features(spec)))) == 4


def test_bad_options():
    with pytest.raises(UserError, match="the width 9 of the sequence 'clicks'. Received: num_h"):
        make(num_heads=2)
    with pytest.raises(
        ValueError, match="`max_positions` of SASRec must be an integer of at least 1"
    ):
        make(max_positions=0)
