import keras
import numpy as np
import pytest

from lmn_tf.callbacks import OpenKeys
from lmn_tf.layers import ProductKeyMemory


def make():
    memory = ProductKeyMemory(num_keys=7, top_k=2, open_keys=3, query_norm="none")
    model = keras.Sequential([keras.Input([4]), memory, ProductKeyMemory(num_keys=2, top_k=2)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model, memory


def test_keys_open_evenly_and_by_the_step_alone():
    model, memory = make()
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    opened = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: opened.append(int(memory.open_count.numpy()))
    )
    model.fit(x, x, batch_size=2, verbose=0, callbacks=[OpenKeys(8), watch])
    assert opened == [3, 3, 4, 4, 5, 5]
    model.fit(x, x, batch_size=2, verbose=0, callbacks=[OpenKeys(8), watch])
    assert opened[6:] == [6, 6, 7, 7, 7, 7]


def test_steps_must_be_a_positive_integer():
    with pytest.raises(ValueError, match="`steps` must be a positive integer. Received: steps=0"):
        OpenKeys(0)
