"""The recurrence of gated recurrent units, with a gradient of its own."""

import tensorflow as tf


def gated_recurrence(inputs, kernel, bias, base, scale, initial):
    """Runs gated recurrent units over time.

    From the projected inputs `x_t = [x_z; x_r; x_c]` and the state `s` of the step before:

    ```text
    [m_z; m_r; m_c] = s @ kernel + bias
    z = sigmoid(x_z + m_z);  r = sigmoid(x_r + m_r);  c = tanh(x_c + r * m_c)
    u = base_t + scale_t * (1 - z)
    s_t = s + u * (c - s)
    ```

    `z` is Keras' keep gate, with the reset after the product. `base = 0` and `scale = 1` give the
    plain unit, other numbers its attentional forms; both 0 carry the state through a masked step.

    Only the states are kept for the gradient. From them the gates of all steps are computed anew in
    one product, and the loop back in time is left with one product a step. There is no gradient of
    the gradient. XLA compiles it; by itself it is not compiled, which was measured to gain nothing.

    Args:
        inputs: Float tensor of shape `(L, B, 3 * units)`, finite at masked steps, too.
        kernel: Float tensor of shape `(units, 3 * units)`.
        bias: Float tensor of shape `(3 * units,)`.
        base: Float tensor of shape `(L, B)`.
        scale: Float tensor of shape `(L, B)`.
        initial: Float tensor of shape `(B, units)`.

    Returns:
        Float tensor of shape `(L, B, units)`: the state after each step.

    Example:

    >>> x, steps = tf.zeros([2, 1, 3]), tf.ones([2, 1])
    >>> gated_recurrence(x, tf.ones([1, 3]), tf.zeros([3]), 0 * steps, steps, tf.ones([1, 1])).shape
    TensorShape([2, 1, 1])
    """
    arguments = [tf.convert_to_tensor(one) for one in (inputs, kernel, bias, base, scale, initial)]
    return _recurrence(*arguments)


@tf.custom_gradient
def _recurrence(inputs, kernel, bias, base, scale, initial):
    arguments = inputs, kernel, bias, base[..., None], scale[..., None], initial
    states = _states(*arguments)
    return states, lambda upstream: _gradients(*arguments, states, upstream)


def _states(inputs, kernel, bias, base, scale, initial):
    units = initial.shape[-1]
    length = tf.shape(inputs)[0]
    states = tf.TensorArray(inputs.dtype, length, element_shape=initial.shape)

    def body(time, state, states):
        x, recurrent = inputs[time], tf.matmul(state, kernel) + bias
        gates = tf.sigmoid(x[:, : 2 * units] + recurrent[:, : 2 * units])
        candidate = tf.tanh(x[:, 2 * units :] + gates[:, units:] * recurrent[:, 2 * units :])
        update = base[time] + scale[time] * (1 - gates[:, :units])
        state += update * (candidate - state)
        return time + 1, state, states.write(time, state)

    return _loop(length, body, (0, initial, states))[-1].stack()


def _gradients(inputs, kernel, bias, base, scale, initial, states, upstream):
    units = initial.shape[-1]
    before = tf.concat([initial[None], states[:-1]], axis=0)
    recurrent = tf.tensordot(before, kernel, 1) + bias
    gates = tf.sigmoid(inputs[..., : 2 * units] + recurrent[..., : 2 * units])
    keep, reset = gates[..., :units], gates[..., units:]
    candidate = tf.tanh(inputs[..., 2 * units :] + reset * recurrent[..., 2 * units :])
    update = base + scale * (1 - keep)
    # A change of the state times these is the change of each product with the kernel.
    to_candidate = update * (1 - tf.square(candidate))
    to_recurrent = tf.concat(
        [
            (before - candidate) * scale * keep * (1 - keep),
            to_candidate * recurrent[..., 2 * units :] * reset * (1 - reset),
            to_candidate * reset,
        ],
        axis=-1,
    )
    of_states, of_initial = _back_in_time(upstream, 1 - update, to_recurrent, kernel)
    of_recurrent = tf.tile(of_states, [1, 1, 3]) * to_recurrent
    of_candidate = of_states * to_candidate
    of_update = of_states * (candidate - before)
    return (
        tf.concat([of_recurrent[..., : 2 * units], of_candidate], axis=-1),
        tf.matmul(
            tf.reshape(before, [-1, units]),
            tf.reshape(of_recurrent, [-1, 3 * units]),
            transpose_a=True,
        ),
        tf.reduce_sum(of_recurrent, axis=[0, 1]),
        tf.reduce_sum(of_update, axis=-1),
        tf.reduce_sum(of_update * (1 - keep), axis=-1),
        of_initial,
    )


def _back_in_time(upstream, kept, to_recurrent, kernel):
    """Gradients of the states after each step, and of the initial one."""
    length = tf.shape(upstream)[0]
    gradients = tf.TensorArray(upstream.dtype, length, element_shape=upstream.shape[1:])

    def body(passed, gradient, gradients):
        time = length - 1 - passed
        gradient += upstream[time]
        gradients = gradients.write(time, gradient)
        of_recurrent = tf.tile(gradient, [1, 3]) * to_recurrent[time]
        gradient = gradient * kept[time] + tf.matmul(of_recurrent, kernel, transpose_b=True)
        return passed + 1, gradient, gradients

    initial = (0, tf.zeros_like(upstream[0]), gradients)
    _, gradient, gradients = _loop(length, body, initial)
    return gradients.stack(), gradient


def _loop(length, body, initial):
    return tf.while_loop(
        lambda passed, *_: passed < length, body, initial, maximum_iterations=length
    )
