import keras
import numpy as np
import pytest

from lmn_tf.ops import smooth_l1


def test_oracle_of_the_memory_loss(run_mode):
    distance = run_mode(smooth_l1)(np.float32([0.0, 2.0]), np.float32([0.731059, 0.268941]))
    np.testing.assert_allclose(distance, [0.267223, 1.231059], atol=1e-6)
    np.testing.assert_allclose(np.mean(distance), 0.749141, atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_is_huber_divided_by_its_width(beta):
    target, prediction = np.random.default_rng(0).normal(size=(2, 50, 1)).astype("float32") * 3
    huber = keras.losses.huber(target, prediction, delta=beta)
    np.testing.assert_allclose(
        smooth_l1(target, prediction, beta)[:, 0], huber / beta, rtol=1e-5, atol=1e-6
    )


def test_beta_must_be_positive():
    with pytest.raises(ValueError, match="`beta` must be a positive number. Received: beta=0"):
        smooth_l1([0.0], [1.0], beta=0)
