"""Gradients of layers, compared with differences of what they compute."""

import numpy as np
import tensorflow as tf


def check_gradient(function, inputs, atol, rtol=1e-7, delta=1e-2):
    """Compares the gradient of the sum of squares of a function with central differences.

    The function is traced once, with its gradient. `tf.test.compute_gradient` calls it hundreds of
    times, or has TensorFlow make gradients of higher orders of a graph.

    Args:
        function: Function of tensors that returns a tensor.
        inputs: List of float arrays.
        atol: Float. Absolute tolerance.
        rtol: Float. Relative tolerance.
        delta: Float. Half of the step from one value to the other.
    """

    @tf.function(autograph=False)
    def value_and_gradient(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = tf.reduce_sum(function(*tensors) ** 2)
        return value, tape.gradient(value, tensors)

    def value_at(place, index, step):
        moved = [np.array(one) for one in inputs]
        moved[index][place] += step
        return float(value_and_gradient(*map(tf.constant, moved))[0])

    _, gradients = value_and_gradient(*map(tf.constant, inputs))
    for index, gradient in enumerate(gradients):
        differences = np.zeros(gradient.shape)
        for place in np.ndindex(differences.shape):
            ends = [value_at(place, index, step) for step in (delta, -delta)]
            differences[place] = (ends[0] - ends[1]) / (2 * delta)
        np.testing.assert_allclose(gradient, differences, rtol=rtol, atol=atol)
