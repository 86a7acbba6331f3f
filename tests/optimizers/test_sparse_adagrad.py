import keras
import numpy as np
import tensorflow as tf
from row_twins import batches, slices

from lmn_tf.optimizers import SparseAdagrad


def test_equals_keras_adagrad_on_dense_gradients():
    table, steps = batches(8, hits=20)
    sparse, dense = keras.Variable(table), keras.Variable(table)
    options = {"initial_accumulator_value": 0.01, "epsilon": 0.5}
    ours, stock = SparseAdagrad(0.3, **options), keras.optimizers.Adagrad(0.3, **options)
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        ours.apply([gradient], [sparse])
        stock.apply([tf.convert_to_tensor(gradient)], [dense])
    np.testing.assert_allclose(sparse.numpy(), dense.numpy(), rtol=1e-5, atol=1e-6)
    accumulator = ours.state_of(sparse)["accumulator"].numpy()
    np.testing.assert_allclose(accumulator, stock._accumulators[0].numpy(), rtol=1e-5)


def test_arguments_are_those_of_keras_adagrad():
    ours, stock = SparseAdagrad().get_config(), keras.optimizers.Adagrad().get_config()
    assert set(ours) == {*stock, "idle_decay", "frequency_rate"}
    assert {key for key in stock if ours[key] != stock[key]} == {"name", "learning_rate"}


def test_config_names_what_was_given():
    optimizer = SparseAdagrad(0.2, 0.01, 1e-6)
    again = SparseAdagrad.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert (again.initial_accumulator_value, again.epsilon) == (0.01, 1e-6)
