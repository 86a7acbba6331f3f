import numpy as np
from kitchen_sink import SMALL, kitchen_sink_spec, random_features

from lmn_tf.models import DNN


def test_reads_no_history():
    spec = kitchen_sink_spec()
    model, features = DNN(spec, **SMALL), random_features(spec)
    logits = model(features)
    without = {key: value for key, value in features.items() if not key.startswith("clicks")}
    np.testing.assert_array_equal(model(without), logits)
    assert not any("clicks" in weight.path for weight in model.weights)
