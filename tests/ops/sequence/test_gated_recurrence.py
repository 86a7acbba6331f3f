import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.sequence.gated_recurrence import gated_recurrence


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


ROWS = [4, 4, 2, 1, 1]


def arguments(units=3):
    rng, total = np.random.default_rng(1), sum(ROWS)
    return (
        example(total, 3 * units),
        example(units, 3 * units, seed=2),
        example(3 * units, seed=3),
        rng.random(total).astype("float32") * 0.3,
        rng.random(total).astype("float32") * 0.7,
    )


def plain(inputs, kernel, bias, base, scale, rows):
    """Step after step, as TensorFlow differentiates it."""
    states, units, start = [], kernel.shape[0], 0
    state = tf.zeros([rows[0], units])
    for count in rows:
        here = slice(start, start + count)
        x, m = inputs[here], tf.matmul(state[:count], kernel) + bias
        keep, reset = tf.sigmoid(x + m)[:, :units], tf.sigmoid(x + m)[:, units:-units]
        candidate = tf.tanh(x[:, 2 * units :] + reset * m[:, 2 * units :])
        update = base[here, None] + scale[here, None] * (1 - keep)
        state = (1 - update) * state[:count] + update * candidate
        states.append(state)
        start += count
    return tf.concat(states, axis=0)


def gradients(function, *tensors):
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = tf.reduce_sum(example(12, 3, seed=9) * function(*tensors))
    return tape.gradient(loss, tensors)


@pytest.mark.parametrize("rows", [ROWS, 4])
def test_equals_the_literal_form_with_its_gradients(run_mode, rows):
    if rows == ROWS and getattr(run_mode, "keywords", {}).get("jit_compile"):
        pytest.skip("XLA needs as many rows in each step")
    tensors = [tf.constant(one) for one in arguments()]
    every = rows if rows == ROWS else [4, 4, 4]

    def run(*tensors):
        return gated_recurrence(*tensors, rows)

    def want(*tensors):
        return plain(*tensors, every)

    np.testing.assert_allclose(run_mode(run)(*tensors), want(*tensors), rtol=1e-5, atol=1e-6)
    found = run_mode(lambda *tensors: gradients(run, *tensors))(*tensors)
    for one, other in zip(found, gradients(want, *tensors), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_unknown_sizes():
    shapes = (None, 9), (3, 9), (9,), (None,), (None,)
    signature = [tf.TensorSpec(shape) for shape in shapes]
    for rows in (tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)):
        run = tf.function(gated_recurrence, input_signature=[*signature, rows])
        for value in ([4, 4, 2, 1, 1], [12], [12, 0]) if rows.shape.rank else (12, 4, 1):
            assert run(*arguments(), tf.constant(value)).shape == (12, 3)


def test_is_keras_unit_where_nothing_is_weighted():
    layer = keras.layers.GRU(3, return_sequences=True, bias_initializer="normal")
    history, ones = example(4, 5, 2), tf.ones([20])
    want = layer(history)
    kernel, recurrent_kernel, (bias, recurrent_bias) = layer.get_weights()
    inputs = np.reshape(np.swapaxes(history @ kernel + bias, 0, 1), (20, 9))
    states = gated_recurrence(inputs, recurrent_kernel, recurrent_bias, 0 * ones, ones, 4)
    states = np.swapaxes(np.reshape(states, (5, 4, 3)), 0, 1)
    np.testing.assert_allclose(states, want, rtol=1e-5, atol=1e-6)


def test_no_steps():
    shapes = (None, 9), (3, 9), (9,), (None,), (None,)
    signature = [tf.TensorSpec(shape) for shape in shapes]
    run = tf.function(gated_recurrence, input_signature=[*signature, tf.TensorSpec([], tf.int32)])
    inputs, kernel, bias, base, scale = arguments()
    assert run(inputs[:0], kernel, bias, base[:0], scale[:0], tf.constant(2)).shape == (0, 3)
