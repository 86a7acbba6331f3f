import keras
import numpy as np
import tensorflow as tf

from lmn_tf.ops.gated_recurrence import gated_recurrence


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def arguments(length=5, rows=4, units=3):
    rng = np.random.default_rng(1)
    return (
        example(length, rows, 3 * units),
        example(units, 3 * units, seed=2),
        example(3 * units, seed=3),
        rng.random((length, rows)).astype("float32") * 0.3,
        rng.random((length, rows)).astype("float32") * 0.7,
        example(rows, units, seed=4),
    )


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal(inputs, kernel, bias, base, scale, state):
    """Step after step, in numpy."""
    states = []
    for x, lift, share in zip(inputs, base, scale, strict=True):
        x_z, x_r, x_c = np.split(x, 3, axis=-1)
        m_z, m_r, m_c = np.split(state @ kernel + bias, 3, axis=-1)
        keep, reset = sigmoid(x_z + m_z), sigmoid(x_r + m_r)
        update = lift[:, None] + share[:, None] * (1 - keep)
        state = (1 - update) * state + update * np.tanh(x_c + reset * m_c)
        states.append(state)
    return np.stack(states)


def test_equals_the_literal_form(run_mode):
    states = run_mode(gated_recurrence)(*(tf.constant(one) for one in arguments()))
    np.testing.assert_allclose(states, literal(*arguments()), rtol=1e-5, atol=1e-6)


def test_gradients_are_those_of_automatic_differentiation(run_mode):
    def plain(inputs, kernel, bias, base, scale, state):
        states, units = [], kernel.shape[0]
        for time in range(inputs.shape[0]):
            x, m = inputs[time], tf.matmul(state, kernel) + bias
            gates = tf.sigmoid(x + m)
            candidate = tf.tanh(x[:, 2 * units :] + gates[:, units:-units] * m[:, 2 * units :])
            update = base[time][:, None] + scale[time][:, None] * (1 - gates[:, :units])
            state += update * (candidate - state)
            states.append(state)
        return tf.stack(states)

    upstream = example(5, 4, 3, seed=9)

    def gradients(function, *tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = tf.reduce_sum(upstream * function(*tensors))
        return tape.gradient(loss, tensors)

    tensors = [tf.constant(one) for one in arguments()]
    found = run_mode(lambda *tensors: gradients(gated_recurrence, *tensors))(*tensors)
    for one, want in zip(found, gradients(plain, *tensors), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-4, atol=1e-5)


def test_unknown_sizes():
    signature = [
        tf.TensorSpec(shape)
        for shape in ((None, None, 9), (3, 9), (9,), (None, None), (None, None), (None, 3))
    ]
    run = tf.function(gated_recurrence, input_signature=signature)
    for length, rows in ((1, 2), (5, 4), (3, 0)):
        assert run(*arguments(length, rows)).shape == (length, rows, 3)


def test_is_keras_unit_where_nothing_is_weighted():
    layer = keras.layers.GRU(3, return_sequences=True, bias_initializer="normal")
    history, ones = example(4, 5, 2), tf.ones([5, 4])
    want = layer(history)
    kernel, recurrent_kernel, (bias, recurrent_bias) = layer.get_weights()
    inputs = np.swapaxes(history @ kernel + bias, 0, 1)
    states = gated_recurrence(
        inputs, recurrent_kernel, recurrent_bias, 0 * ones, ones, tf.zeros([4, 3])
    )
    np.testing.assert_allclose(np.swapaxes(states, 0, 1), want, rtol=1e-5, atol=1e-6)
