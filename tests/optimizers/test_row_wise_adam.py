import keras
import numpy as np
import pytest
from row_twins import SlowRowWiseAdam, assert_same_state, batches, slices

from lmn_tf.optimizers import RowWiseAdam


def test_equals_keras_adam_where_rows_are_single_numbers_and_always_read():
    rng = np.random.default_rng(0)
    start = rng.normal(size=6).astype("float32")
    ours, stock = keras.Variable(start), keras.Variable(start)
    # The two add epsilon in different places.
    optimizer, adam = RowWiseAdam(0.1, epsilon=1e-30), keras.optimizers.Adam(0.1, epsilon=1e-30)
    for _ in range(50):
        gradient = rng.normal(size=6).astype("float32")
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [ours])
        adam.apply([keras.ops.convert_to_tensor(gradient)], [stock])
    np.testing.assert_allclose(ours.numpy(), stock.numpy(), rtol=1e-4, atol=1e-5)


def test_a_row_that_is_first_read_late_starts_with_a_step_of_the_learning_rate():
    variable = keras.Variable(np.zeros((2, 3), "float32"))
    optimizer = RowWiseAdam(0.01)
    for _ in range(100):
        optimizer.apply([slices([0], [[1.0, -1.0, 1.0]], 2)], [variable])
    optimizer.apply([slices([1], [[1.0, -1.0, 1.0]], 2)], [variable])
    np.testing.assert_allclose(variable.numpy()[1], [-0.01, 0.01, -0.01], rtol=1e-5)
    np.testing.assert_array_equal(optimizer.state_of(variable)["reads"].numpy(), [100, 1])


def test_a_row_goes_the_way_of_an_adam_that_only_it_has():
    table, steps = batches(9, steps=8)
    variable, alone = keras.Variable(table), keras.Variable(table[3:4])
    optimizer, single = RowWiseAdam(0.1), RowWiseAdam(0.1)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        here = parts[ids == 3]
        if len(here):
            single.apply([slices(np.zeros(len(here), "int32"), here, 1)], [alone])
    np.testing.assert_allclose(variable.numpy()[3], alone.numpy()[0], rtol=1e-5)


@pytest.mark.parametrize("beta_1", [0.0, 0.5])
@pytest.mark.parametrize("beta_2", [0.0, 0.9])
def test_other_decays(beta_1, beta_2):
    table, steps = batches(10)
    variable, optimizer = keras.Variable(table), RowWiseAdam(0.1, beta_1, beta_2, epsilon=1e-3)
    twin = SlowRowWiseAdam(table, 0.1)
    twin.beta_1, twin.beta_2, twin.epsilon = beta_1, beta_2, 1e-3
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        twin.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-5, atol=1e-6)
    assert_same_state(optimizer, variable, twin)


def test_many_reads_keep_to_float64():
    table, steps = batches(11, rows=5, width=3, steps=100, hits=1)
    variable, optimizer = keras.Variable(table), RowWiseAdam(0.01)
    twin = SlowRowWiseAdam(table, 0.01)
    for ids, parts in steps:
        optimizer.apply([slices(ids, parts, len(table))], [variable])
        twin.step(ids, parts)
    np.testing.assert_allclose(variable.numpy(), twin.table, rtol=1e-4, atol=2e-5)


def test_config_names_what_was_given():
    optimizer = RowWiseAdam(0.2, 0.8, 0.99, 1e-6)
    again = RowWiseAdam.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.beta_1, again.beta_2, again.epsilon) == (0.8, 0.99, 1e-6)


@pytest.mark.parametrize("key", ["beta_1", "beta_2"])
@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_bad_decays_are_named(key, value):
    with pytest.raises(ValueError, match=f"`{key}` must be at least 0 and below 1.*{key}={value}"):
        RowWiseAdam(**{key: value})
