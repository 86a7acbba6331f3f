import keras
import numpy as np
import tensorflow as tf
from row_twins import batches, slices

from lmn_tf.optimizers import RowWiseSGD


def test_equals_keras_sgd_on_dense_gradients():
    table, steps = batches(8, hits=20)
    sparse, dense = keras.Variable(table), keras.Variable(table)
    ours, stock = RowWiseSGD(0.3), keras.optimizers.SGD(0.3)
    for ids, parts in steps:
        gradient = slices(ids, parts, len(table))
        ours.apply([gradient], [sparse])
        stock.apply([tf.convert_to_tensor(gradient)], [dense])
    np.testing.assert_allclose(sparse.numpy(), dense.numpy(), rtol=1e-5, atol=1e-6)


def test_values_are_shrunk_by_their_counts():
    """The fixed point of `n` steps towards 1: about `n / (n + κ)` of it, for few steps of many."""
    batch, rate, counts = 1_000, 2.0, np.array([1, 5, 25, 125])
    values, optimizer = keras.Variable(np.zeros((4, 1)), name="embeddings"), RowWiseSGD(rate)
    for step in range(counts.max()):
        (ids,) = np.nonzero(counts > step)
        gradient = (values.numpy()[ids] - 1.0) / batch
        optimizer.apply([slices(ids, gradient, 4)], [values])
    want = counts / (counts + batch / rate)
    np.testing.assert_allclose(values.numpy()[:, 0], want, rtol=0.12)


def test_config_names_what_was_given():
    optimizer = RowWiseSGD(0.2, weight_decay=0.1)
    again = RowWiseSGD.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert "epsilon" not in optimizer.get_config()
