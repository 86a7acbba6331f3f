import keras
import numpy as np
from row_twins import slices

from lmn_tf.optimizers import RowWiseAdagrad


def test_takes_the_mean_square_of_a_row():
    variable = keras.Variable(np.ones((3, 2), "float32"))
    optimizer = RowWiseAdagrad(0.5, initial_accumulator_value=1.5)
    optimizer.apply([slices([1], [[3.0, 4.0]], 3)], [variable])
    np.testing.assert_array_equal(
        optimizer.state_of(variable)["accumulator"].numpy(), [1.5, 14.0, 1.5]
    )
    want = 1 - 0.5 * np.array([3.0, 4.0]) / np.sqrt(14.0)
    np.testing.assert_allclose(variable.numpy()[1], want, rtol=1e-6)


def test_epsilon_bounds_the_step_of_a_tiny_gradient():
    variable = keras.Variable(np.zeros((2, 1), "float32"))
    RowWiseAdagrad(1.0, epsilon=1e-6).apply([slices([0], [[1e-6]], 2)], [variable])
    np.testing.assert_allclose(variable.numpy()[0], -0.5, rtol=1e-6)


def test_config_names_what_was_given():
    optimizer = RowWiseAdagrad(0.2, 0.01, 1e-6)
    again = RowWiseAdagrad.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.initial_accumulator_value, again.epsilon) == (0.01, 1e-6)
