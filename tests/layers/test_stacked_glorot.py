import keras
import numpy as np

from lmn_tf.layers.stacked_glorot import stacked_glorot


def test_each_kernel_of_a_stack_starts_like_one_alone():
    keras.utils.set_random_seed(1)
    stack = np.asarray(stacked_glorot(30, 50)((9, 30, 50)))
    alone = np.asarray(keras.initializers.GlorotUniform()((30, 50)))
    np.testing.assert_allclose(stack.std((1, 2)), alone.std(), rtol=0.1)
    assert np.abs(stack[0] - stack[1]).max() > 0.1
