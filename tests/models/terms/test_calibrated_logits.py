import numpy as np
import tensorflow as tf
from kitchen_sink import SMALL, random_features, slim_spec
from pair_pooling import PairPooling

from lmn_tf.models import DNN, Pooling

SPEC = slim_spec()


def test_terms_and_their_names():
    assert DNN(SPEC, **SMALL).term_names == ("trained",)
    model = DNN(SPEC, rates=True, **SMALL)
    assert model.term_names == ("trained", "item", "user") and model.writes_terms
    options = {"softmax_weight": 0.1, "softmax_score": True}
    model = Pooling(SPEC, rates=True, **options, **SMALL)
    assert model.term_names == ("trained", "item", "user", "softmax_score")
    model = PairPooling(SPEC, pair_values="ease", **SMALL)
    assert model.term_names == ("trained", "pairs") and model.writes_terms and model.writes_pairs
    model = PairPooling(SPEC, pair_values="ease", pair_readings="several", **SMALL)
    names = ("pairs", "recent pairs", "largest pair", "smallest pair")
    assert model.term_names == ("trained", *names)
    assert PairPooling(SPEC, pair_readings="several", **SMALL).term_names == ("trained",)
    for plain in (DNN(SPEC, **SMALL), PairPooling(SPEC, **SMALL)):
        assert plain.calibration is None and not plain.writes_terms


def test_each_term_has_its_weight():
    options = {"rates": True, "softmax_weight": 0.1, "softmax_score": True}
    model, features = Pooling(SPEC, **options, **SMALL), random_features(SPEC)
    model.build()
    model.rate_terms.tables["item"].embeddings.assign_add([[1.0]] * 42)
    own = model(features, training=False)
    rows = []
    for weights in np.eye(4):
        model.calibration.term_weights.assign(weights[:, None])
        rows.append(model(features, training=False)[:, 0].numpy())
    np.testing.assert_array_equal(rows[0], own[:, 0])
    np.testing.assert_array_equal(rows[1], features["item"] != 0)
    np.testing.assert_array_equal(rows[2], np.zeros(6))
    assert np.abs(rows[3]).max() <= 1 + 1e-6 and np.ptp(rows[3]) > 0
    model.calibration.term_weights.assign([[0.5], [2.0], [1.0], [3.0]])
    model.calibration.offset.assign([-1.0])
    want = 0.5 * rows[0] + 2 * rows[1] + 3 * rows[3] - 1
    np.testing.assert_allclose(model(features)[:, 0], want, rtol=1e-5, atol=1e-6)
    assert not np.allclose(model(features, training=True)[:, 0], want)


def test_terms_are_predicted_without_their_weights():
    options = {"rates": True, "counts": True, "pair_values": "ease"}
    model = PairPooling(SPEC, **options, **SMALL)
    model.compile()
    model.build()
    model.rate_terms.tables["item"].embeddings.assign_add([[1.0, 2.0]] * 42)
    (memory,) = model.pair_memories.values()
    memory.memory_values.assign_add(np.ones(memory.memory_values.shape))
    features = random_features(SPEC)
    rows = tf.data.Dataset.from_tensors((features, np.zeros((6, 1), "float32"))).repeat(2)
    before = model.predict(rows, verbose=0)
    terms = model.predict_terms(rows)
    assert terms.shape == (12, len(model.term_names), 1)
    np.testing.assert_array_equal(terms[:6], terms[6:])
    np.testing.assert_array_equal(terms[:6, 1, 0], features["item"] != 0)
    np.testing.assert_array_equal(terms[:6, 3, 0], 2.0 * (features["item"] != 0))
    assert np.ptp(terms[:, -1]) > 0
    # Only the first term has a weight yet.
    np.testing.assert_allclose(terms[:, 0], before, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(rows, verbose=0), before)
