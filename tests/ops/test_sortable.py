import numpy as np
import tensorflow as tf

from lmn_tf.ops.sortable import LOWEST, from_sortable, to_sortable

SCORES = np.array([-np.inf, -3e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1.5, 3e38, np.inf], "float32")


def test_integers_sort_like_floats(run_mode):
    keys = run_mode(to_sortable)(tf.constant(SCORES)).numpy()
    assert (np.diff(keys.astype("int64")) >= 0).all()
    assert keys[4] == keys[5]
    assert len(set(keys)) == len(SCORES) - 1
    assert keys.min() > LOWEST


def test_nan_is_minus_infinity(run_mode):
    nan = tf.constant([np.nan, -np.nan, -np.inf], tf.float32)
    assert len(set(run_mode(to_sortable)(nan).numpy())) == 1


def test_comes_back(run_mode):
    back = run_mode(lambda scores: from_sortable(to_sortable(scores)))(tf.constant(SCORES))
    np.testing.assert_array_equal(back, SCORES)
