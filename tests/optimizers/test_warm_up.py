import keras
import numpy as np
import pytest

from lmn_tf.optimizers import WarmUp


def test_rises_in_a_line_then_follows_the_schedule():
    cosine = keras.optimizers.schedules.CosineDecay(0.4, 8)
    schedule = WarmUp(cosine, 4)
    got = [float(schedule(step)) for step in range(12)]
    want = [0.1, 0.2, 0.3, 0.4] + [float(cosine(step)) for step in range(8)]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_no_steps_is_no_warm_up():
    assert float(WarmUp(0.3, 0)(0)) == pytest.approx(0.3)


@pytest.mark.parametrize("rate", [0.3, keras.optimizers.schedules.CosineDecay(0.4, 8)])
def test_survives_serialization(rate):
    schedule = WarmUp(rate, 4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    for step in (0, 3, 4, 9):
        assert float(again(step)) == float(schedule(step))


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="`warmup_steps` must be zero or more"):
        WarmUp(0.1, -1)
